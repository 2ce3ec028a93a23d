"""A table of results in the documents names the command that makes it, and the command exists."""

import contextlib
import importlib.util
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from workflow_scripts.command import main as sbldm

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

HEADING = re.compile(r"#{1,6} ")
CODE = re.compile(r"^ *```.*?^ *```|`[^`]+`", re.MULTILINE | re.DOTALL)
# A cell of a result starts with a number ("650 MB", "**+0.04**") or holds a decimal one.
RESULT = re.compile(r"\A[*_~≈<>]*[−+-]?\d|\d[.,]\d")
# Not "make" and "snakemake" alone, which name the programs.
COMMAND = re.compile(r"(?:\S*/)?(make|snakemake|python3?|sbldm) +(.+)")
# Of tables, who made them otherwise.
UNREPEATABLE = re.compile(r"\bby hand\b|not part of the project|hand-made", re.IGNORECASE)
# A reader puts some name in place of these.
PLACEHOLDER, ANY = re.compile(r"<\w+>"), "ANY"


def sections(text: str) -> list[str]:
    """The parts of a document between its headings."""
    parts, code = [""], False
    for line in text.splitlines():
        code ^= line.lstrip().startswith("```")
        if HEADING.match(line) and not code:
            parts.append("")
        parts[-1] += line + "\n"
    return parts


def result_tables(section: str) -> list[str]:
    """The first line of each table that has numbers outside of code and links."""
    found = []
    for table in re.findall(r"(?:^ *\|.*\n)+", CODE.sub(in_cell, section), re.MULTILINE):
        head, _, *rows = table.splitlines()
        cells = [cell.strip() for row in rows for cell in row.strip().strip("|").split("|")]
        if any(RESULT.search(re.sub(r"\]\([^)]*\)", "]", cell)) for cell in cells):
            found.append(head)
    return found


def in_cell(code: re.Match) -> str:
    """Code without what could be taken for a number or a table, over as many lines."""
    return "code" + "\n" * code[0].count("\n")


def commands(text: str) -> list[str]:
    """The command lines in code: fenced lines, with those they go on in, and inline code."""
    found = []
    for code in CODE.findall(text):
        fenced = code.lstrip().startswith("```")
        body = code.replace("\\\n", " ") if fenced else " ".join(code.strip("`").split())
        found += [line.strip() for line in body.splitlines() if COMMAND.fullmatch(line.strip())]
    return found


def trouble(command: str) -> str | None:
    """What a command names that does not exist; None where all of it does."""
    program, rest = COMMAND.fullmatch(command).groups()
    words = shlex.split(PLACEHOLDER.sub(ANY, rest.replace("…", "")), comments=True)
    return KINDS.get(program, of_python)(words)


def of_make(words: list[str]) -> str | None:
    text = (ROOT / "Makefile").read_text()
    lines = re.findall(r"^([\w -]+):(?!=)", text, re.MULTILINE)
    known = {target for line in lines for target in line.split()} | {".venv/.ready"}
    return named("make has no target", {w for w in words if "=" not in w and w[0] != "-"} - known)


def of_snakemake(words: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            given = parser().parse_args(words)
    except SystemExit:
        return f"snakemake does not take {words}: {said.getvalue().splitlines()[-1]}"
    files = {str(file) for file in [*given.configfile, given.workflow_profile] if file}
    # Other configurations are the reader's own.
    ours = {f for f in files if f.startswith("config/") or not f.endswith(".yaml")}
    paths = {target for target in given.targets if "/" in target}
    rules = {*given.until, *given.forcerun, *given.targets} - paths
    known = set(re.findall(r"^ *(?:rule|checkpoint) (\w+):", wiring(), re.MULTILINE))
    return (
        named("there is no", {file for file in ours if not (ROOT / file).exists()})
        or named("there is no rule", {rule for rule in rules if "/" not in rule} - known)
        or named(
            "no rule makes", {p for p in paths if not any(made.fullmatch(p) for made in patterns())}
        )
    )


def of_python(words: list[str]) -> str | None:
    names = [words[1]] if words[0] == "-m" else re.findall(r"import ([\w.<>]+)", words[-1])
    lost = {name for name in names if not is_module(name)}
    files = {word for word in words[2:] if word.startswith("tests/")}
    lost_files = {file for file in files if not (ROOT / file).exists()}
    return named("there is no module", lost) or named("there is no", lost_files)


def of_sbldm(words: list[str]) -> str | None:
    return named("sbldm has no command", {words[0]} - set(sbldm.commands))


KINDS = {"make": of_make, "snakemake": of_snakemake, "sbldm": of_sbldm}


def named(what: str, names: set[str]) -> str | None:
    return f"{what} {', '.join(sorted(names))}" if names else None


def is_module(name: str) -> bool:
    """Whether a module can be imported; with placeholders, the package that they are in."""
    try:
        return importlib.util.find_spec(name.partition(f".{ANY}")[0]) is not None
    except ModuleNotFoundError:
        return False


@cache
def parser():
    return get_argument_parser()


@cache
def wiring() -> str:
    """The Snakefile and all rules."""
    files = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
    return "\n".join(file.read_text() for file in files)


@cache
def patterns() -> list[re.Pattern]:
    """Paths that the rules name, with any folder of results and any wildcards."""
    text = wiring()
    folders = dict(re.findall(r'^([A-Z]+) = f"(.+)"$', text, re.MULTILINE))
    found = []
    for path in re.findall(r'f"(\{[A-Z]+\}[^"]*)"', text):
        # A folder may lie in another one's.
        for _ in folders:
            path = re.sub(r"^\{([A-Z]+)\}", lambda m: folders.get(m[1], m[0]), path)
        parts = re.split(r"\{+\w+\}+", path)
        found.append(re.compile("[^/]+".join(map(re.escape, parts))))
    return found


def unsupported_tables(text: str) -> list[str]:
    """Tables of results in whose section no command that exists is named."""
    found = []
    for section in sections(text):
        if not any(trouble(command) is None for command in commands(section)):
            found += result_tables(section)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_table_of_results_has_the_command_that_makes_it(path):
    assert unsupported_tables(path.read_text()) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_a_command_in_the_documents_exists(path):
    assert [found for found in map(trouble, commands(path.read_text())) if found] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_no_number_is_made_outside_of_the_project(path):
    assert UNREPEATABLE.findall(path.read_text()) == []


def test_the_documents_have_tables_of_results():
    """What finds them finds some: those that are there at least."""
    found = {n for n, p in zip(NAMES, DOCUMENTS, strict=True) if result_tables(p.read_text())}
    assert found >= {"docs/results.md", "docs/benchmark.md", "docs/curves.md", "docs/gpu.md"}


TABLE = """
| steps | distance |
|--:|--:|
| 8 | 650 MB |
"""


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        pytest.param(f"# A\n{TABLE}", 1, id="no command"),
        pytest.param(f"# A\n`make bench`\n# B\n{TABLE}", 1, id="a command in another section"),
        pytest.param(f"# A\n`make nothing`\n{TABLE}", 1, id="a command that does not exist"),
        pytest.param(f"# A\nWe make bench.\n{TABLE}", 1, id="words that are no code"),
        pytest.param(f"# A\n```\n# B\nmake bench\n```\n{TABLE}", 0, id="a comment is no heading"),
        pytest.param(f"# A\nBy `make\nbench`:\n{TABLE}", 0, id="code over two lines"),
        pytest.param("| a |\n|--|\n| BraTS 2017, `0.5` |\n", 0, id="numbers, and no result"),
        pytest.param("| a |\n|--|\n| Dice 0.71 |\n", 1, id="a decimal number in words"),
    ],
)
def test_a_planted_table_is_found(text, tables):
    assert len(unsupported_tables(text)) == tables


@pytest.mark.parametrize(
    "command",
    [
        "make bench",
        ".venv/bin/snakemake --configfile mine.yaml --dry-run",
        "snakemake results/synthesis/n8-s0/attributes.tsv",
        "snakemake results-bench-gpu/bench/bench.csv --cores 2 --configfile config/bench_gpu.yaml",
        "snakemake --config 'cohort={source: brats}' a=b -- results/export/<split>",
        "snakemake --forcerun train_diffusion",
        "python -m workflow_scripts.command info prior",
        "python -m pytest tests/docs/test_docs.py",
        'python -c "import workflow_scripts.<stage>.<script>"',
        "sbldm info prior",
    ],
)
def test_a_command_that_exists_passes(command):
    assert commands(f"```\n{command}\n```") == [command]
    assert trouble(command) is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make everything", "make has no target everything"),
        ("snakemake --configfile config/none.yaml", "there is no config/none.yaml"),
        # What follows --configfile is taken for a file.
        ("snakemake --configfile mine.yaml results/bench/bench.csv", "there is no results/bench"),
        ("snakemake results/bench/none.csv", "no rule makes results/bench/none.csv"),
        ("snakemake --forcerun train_nothing", "there is no rule train_nothing"),
        ("snakemake --no-such-option", "snakemake does not take"),
        ("snakemake --workflow-profile profiles/none", "there is no profiles/none"),
        ("python -m workflow_scripts.none", "there is no module workflow_scripts.none"),
        ("python -m pytest tests/none.py", "there is no tests/none.py"),
        ('python -c "import workflow_scripts.none.<script>"', "there is no module"),
        ("sbldm paint", "sbldm has no command paint"),
    ],
)
def test_a_planted_command_that_does_not_exist_is_found(command, said):
    assert trouble(command).startswith(said)


@pytest.mark.parametrize(
    "text", ["The table was made by hand.", "a script not part of the project"]
)
def test_a_planted_table_that_nobody_can_make_again_is_found(text):
    assert UNREPEATABLE.search(text)
