"""YAML in which nothing is guessed: no key twice, and no number that is not what it looks like."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.common.files import UserError

# YAML 1.1 reads 010 as 8, and 1:30 as 90.
ODD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+")


class StrictLoader(yaml.SafeLoader):
    """``SafeLoader`` that refuses what YAML 1.1 takes for something else than a reader does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping; raises ``ConstructorError`` for a key that is there twice."""
        known: set[str] = set()
        for key, _ in node.value:
            if key.value in known:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is there twice, the second time in line {line}"
                )
            known.add(str(key.value))
        return super().construct_mapping(node, deep)


def _number(loader: StrictLoader, node: yaml.ScalarNode) -> int:
    if ODD_NUMBER.fullmatch(node.value):
        line = node.start_mark.line + 1
        raise yaml.constructor.ConstructorError(
            None, None, f"'{node.value}' in line {line} would be read as another number"
        )
    return loader.construct_yaml_int(node)


StrictLoader.add_constructor("tag:yaml.org,2002:int", _number)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The sections of a YAML file.

    Raises ``UserError`` for a file that cannot be read, that has a key twice, or a number that
    YAML reads as another one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.load(text, StrictLoader)  # noqa: S506  it is a SafeLoader
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no text in UTF-8; save it as such") from None
    except yaml.constructor.ConstructorError as error:
        raise UserError(f"{path}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML of sections: {error}".replace("\n", " ")) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no YAML of sections, key: value")
    return values
