"""YAML in which nothing is guessed: no key twice, and no number that is not what it looks like."""

import re
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.common.files import UserError, parse_json

# YAML 1.1 reads 010 as 8, and 1:30 as 90.
ODD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")

MOST_BYTES = 10_000_000
# Values of a file, those that aliases repeat counted as often. More are no configuration.
MOST_VALUES = 100_000


class StrictLoader(yaml.SafeLoader):
    """``SafeLoader`` that refuses what YAML 1.1 takes for something else than a reader does."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """A mapping as written, before merge keys are resolved; raises ``ConstructorError`` for a
        key that is there twice."""
        node = super().compose_mapping_node(anchor)
        known: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in known:
                    raise _refusal(key, f"'{key.value}' appears twice, again on line")
                known.add(key.value)
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The document; raises ``ConstructorError`` for one that aliases make too large."""
        node = super().get_single_node()
        if node is not None and _count(node, {}) > MOST_VALUES:
            raise _refusal(node, f"it holds more than {MOST_VALUES:,} values, from line")
        return node


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """The values below a node, with those that aliases repeat; ``known`` are counted already.

    Raises ``RecursionError`` where a node holds itself.
    """
    if id(node) not in known:
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for pair in inner for part in (pair if isinstance(pair, tuple) else [pair])]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]


def _refusal(node: yaml.Node, words: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, f"{words} {node.start_mark.line + 1}")


def _number(loader: StrictLoader, node: yaml.ScalarNode) -> int | float:
    if ODD_NUMBER.fullmatch(node.value):
        raise _refusal(node, f"YAML would read '{node.value}' as another number, on line")
    if node.tag.endswith(":int"):
        return loader.construct_yaml_int(node)
    return loader.construct_yaml_float(node)


for kind in ("int", "float"):
    StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", _number)


def _read(path: Path) -> str:
    """The text of a file, or of a pipe; raises ``UserError`` where it does not end."""
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: has more than {MOST_BYTES:,} bytes; name a configuration")
    return content.decode()


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The sections of a YAML file, or of a JSON file (``.json``), which may be indented by tabs.

    Raises ``UserError`` for a file that cannot be read, that has a key twice, or a number that
    YAML reads as another one.
    """
    try:
        text = _read(Path(path))
        is_json = Path(path).suffix == ".json"
        values = parse_json(text) if is_json else yaml.load(text, StrictLoader)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a configuration") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no text in UTF-8; save it as such") from None
    except yaml.constructor.ConstructorError as error:
        raise UserError(f"{path}: {error.problem}") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply, or a section holds itself") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is no YAML of sections: {error}".replace("\n", " ")) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no YAML of sections, key: value")
    return values
