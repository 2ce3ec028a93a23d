"""Tables, JSON, and outputs that are written whole or not at all."""

import contextlib
import glob
import json
import os
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.common.machine import WRITING

# Nine significant digits: more than a measurement has, and all that float32 holds.
FLOATS = "%.9g"


class UserError(Exception):
    """Something the user can mend. The message says which file, patient or key is wrong,
    what is wrong with it, and what would be right."""


class InputError(UserError):
    """Something wrong with a patient: a ``file`` ("" where it is none of them), the ``problem``,
    and the ``remedy``, what would be right."""

    def __init__(self, file: str | Path, problem: str, remedy: str) -> None:
        self.file, self.problem, self.remedy = str(file), problem, remedy
        super().__init__(f"{file}: {problem}; {remedy}" if self.file else f"{problem}; {remedy}")


@contextlib.contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder for what becomes ``path``; what a killed attempt left is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".partial-{path.name}-"
    for left in path.parent.glob(glob.escape(prefix) + "????????"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
            yield Path(folder)
    except Exception as error:
        error.add_note(f"{WRITING}{path}")
        raise


@contextlib.contextmanager
def staged(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, moved there when the block ends without an error.

    The temporary file keeps every suffix of ``path``, since many writers choose their format by it.
    """
    path = Path(path)
    with _folder_beside(path) as folder:
        temporary = folder / path.name
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def staged_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that takes its place when the block succeeds."""
    path = Path(path)
    with _folder_beside(path) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)


# Columns that are text whatever they hold: a patient may be called 007, NA or null.
TEXT = (
    "patient_id", "subject", "brain_mask", "digest", "anatomy", "image_patient", "latent_patient",
    "mask_patient",
)  # fmt: skip
# First bytes of Excel's files, .xlsx and .xls.
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# What stands for a number that is missing.
MISSING = (
    "", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None",
)  # fmt: skip


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV (or ``.csv``) file; identifiers stay text, empty text cells become ``""``.

    Raises ``UserError`` for a file that is no such table.
    """
    table = _read(path)
    text = table.select_dtypes(include=["object", "string"]).columns
    return table.fillna(dict.fromkeys(text, ""))


def read_text_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV (or ``.csv``) file of text, without the spaces around it; empty cells are ``""``.

    Raises ``UserError`` for a file that is no such table.
    """
    table = _read(path, all_text=True)
    return table.apply(lambda column: column.str.strip())


def _read(path: str | Path, all_text: bool = False) -> pd.DataFrame:
    separator, kind = (",", "commas") if str(path).endswith(".csv") else ("\t", "tabs")
    if Path(path).exists() and not Path(path).is_file():
        # Devices may be read without end.
        raise UserError(f"{path}: is no file; name a table")
    with open(path, "rb") as file:
        if file.read(4).startswith(SPREADSHEETS):
            raise UserError(f"{path}: is a spreadsheet; save it as text, separated by {kind}")
    try:
        # pandas would rename the second of two columns with one name.
        first = pd.read_csv(
            path, sep=separator, header=None, nrows=1, dtype=str, index_col=False, na_filter=False
        )
        names = first.iloc[0].tolist()
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        text = [name for name in names if name in TEXT]
        with warnings.catch_warnings():
            # Rows with more cells than the header would be cut short, or shifted.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                sep=separator,
                index_col=False,
                dtype=str if all_text else dict.fromkeys(text, str),
                keep_default_na=False,
                na_filter=not all_text,
                na_values={name: list(MISSING) for name in names if name not in text},
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"{path}: cannot be read as a table in UTF-8, its cells separated by {kind} ({reason})"
        ) from error
    if twice:
        raise UserError(f"{path}: has the column '{twice[0]}' twice; keep one of them")
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a TSV (or ``.csv``) file, floats with nine significant digits."""
    separator = "," if str(path).endswith(".csv") else "\t"
    with staged(path) as temporary:
        table.to_csv(temporary, sep=separator, index=False, float_format=FLOATS)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file whole or not at all."""
    with staged(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def parse_json(text: str) -> Any:
    """What JSON text says. Raises ``ValueError`` where it is none, or has a key twice, and
    ``RecursionError`` where it is nested too deeply."""
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ``ValueError`` for a key that is there twice."""
    section: dict[str, Any] = {}
    for key, value in pairs:
        if key in section:
            raise ValueError(f"'{key}' appears twice")
        section[key] = value
    return section


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises ``UserError`` where it is none, or has a key twice."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged, it cannot be read as JSON ({error})") from error


def write_json(value: Any, path: str | Path) -> None:
    """Write a JSON file, indented, keys in the order given."""
    with staged(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
