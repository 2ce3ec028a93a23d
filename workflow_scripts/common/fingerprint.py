"""Fingerprints of code: a script and everything that it imports from this project."""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = "workflow_scripts"
ROOT = Path(__file__).resolve().parents[2]


HOLDERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _without_descriptions(tree: ast.Module) -> ast.Module:
    """The tree without docstrings, and without the descriptions of keys of ``config.yaml``."""
    for node in ast.walk(tree):
        if isinstance(node, HOLDERS) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Field":
            node.keywords = [word for word in node.keywords if word.arg != "description"]
    return tree


def _module_file(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _imports(tree: ast.Module) -> set[Path]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    ours = (name for name in names if name.split(".")[0] == PACKAGE)
    return {file for name in ours if (file := _module_file(name))}


@functools.cache
def _digest_and_imports(file: Path) -> tuple[str, frozenset[Path]]:
    tree = ast.parse(file.read_text())
    imports = _imports(tree)
    text = ast.dump(_without_descriptions(tree))
    return hashlib.sha256(text.encode()).hexdigest(), frozenset(imports)


@functools.cache
def fingerprint(script: str) -> str:
    """Digest of the script ``<stage>/<verb>`` and of every project module it imports.

    It is computed from the syntax tree, so comments, docstrings and formatting do not count.
    Descriptions of keys (``Field(description=...)``) do not count either.
    """
    pending, digests = {ROOT / PACKAGE / f"{script}.py"}, {}
    while pending:
        file = pending.pop()
        digests[file.relative_to(ROOT).as_posix()], imports = _digest_and_imports(file)
        pending |= {f for f in imports if f.relative_to(ROOT).as_posix() not in digests}
    joined = "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def content(folder: str | Path) -> str:
    """Digest of the files in a folder that a rule's code reads."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).iterdir()):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
