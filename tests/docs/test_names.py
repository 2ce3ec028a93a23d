"""Variables and modules have names that say what they hold."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# They say that there is a value, and not which.
REFUSED = {"found", "made", "given", "told", "asked", "place"}
# Names of modules that several stages have.
SHARED = {"__init__", "settings", "model", "train"}

PLANTED = """\
made = 1
given: int = 2
for found in range(3):
    pass
with open("file") as told:
    pass
asked, (place, *made) = 1, (2, 3)
if (given := 4):
    given += 1
squares = [found for found in range(5)]
def function(told, /, asked, *place, made=0, **given): ...
async def coroutine(found): ...
first = lambda told: told
class Class:
    asked: int = 6
    def __init__(self):
        self.place = self.count = 7
        self.made: int = 8
"""
CAUGHT = [
    *((1, "made"), (2, "given"), (3, "found"), (5, "told")),
    *((7, "asked"), (7, "place"), (7, "made"), (8, "given"), (9, "given"), (10, "found")),
    *((11, "told"), (11, "asked"), (11, "place"), (11, "made"), (11, "given")),
    *((12, "found"), (13, "told"), (15, "asked"), (17, "place"), (18, "made")),
]
# Strings, keywords, and attributes of others, are named elsewhere.
LEFT = """\
row = {"made": call(given=1)}
row["found"] = files.place
files.told = 2
"""


def assigned_names(source: str) -> list[tuple[int, str]]:
    """Line and name of all variables, arguments and attributes of ``self`` that are assigned."""
    names = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.append((node.lineno, name))
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.append((node.lineno, name))
    return sorted(names)


def refused(source: str) -> list[tuple[int, str]]:
    """Line and name of those that say nothing."""
    return [(line, name) for line, name in assigned_names(source) if name in REFUSED]


def test_names_say_what_they_hold():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "workflow_scripts").rglob("*.py"))
        for line, name in refused(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(["these names say nothing of the value:", *wrong])


def test_a_name_is_caught_wherever_it_is_assigned():
    assert refused(PLANTED) == sorted(CAUGHT)
    assert {"squares", "function"} & {name for _, name in assigned_names(PLANTED)} == {"squares"}
    assert not refused(LEFT)


def test_no_two_modules_have_the_same_name():
    names = Counter(path.stem for path in (ROOT / "workflow_scripts").rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= SHARED
