"""Pages made from the schema of the configuration, and from docstrings."""

import json
from pathlib import Path

import mkdocs_gen_files
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "config" / "config.schema.json").read_text())
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text())
KINDS = {
    "null": "null",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "section",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
# In the order of the stages.
PACKAGES = (
    "common",
    "phantoms",
    "cohort",
    "preprocess",
    "autoencoder",
    "diffusion",
    "synthesis",
    "rivals",
    "segmentation",
    "evaluation",
    "report",
    "serve",
    "export",
)


def resolved(schema: dict) -> dict:
    """A part of the schema with what it refers to."""
    if "$ref" in schema:
        return {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    return schema


def kind(schema: dict) -> str:
    """Type and bounds of a value, in words."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return " or ".join(kind(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return ", ".join(kind(part) for part in schema["prefixItems"])
        return "list of " + kind(schema.get("items", {}))
    name = KINDS.get(schema.get("type"), "value")
    limits = [f"{sign} {schema[bound]:g}" for bound, sign in BOUNDS.items() if bound in schema]
    return " ".join([name, *limits])


def rows(schema: dict, values: dict, prefix: str) -> list[str]:
    """A line for each key, and for those of the sections in it."""
    found = []
    for name, part in schema["properties"].items():
        part, value = resolved(part), values.get(name)
        if "anyOf" in part and isinstance(value, dict):
            options = map(resolved, part["anyOf"])
            part = {**part, **next(option for option in options if "properties" in option)}
        if "properties" in part and isinstance(value, dict):
            found += rows(part, value, f"{prefix}{name}.")
            continue
        text = part.get("description", "").replace("|", "\\|")
        shown = json.dumps(value, ensure_ascii=False)
        found.append(f"| `{prefix}{name}` | `{shown}` | {kind(part)} | {text} |")
    return found


def configuration() -> str:
    """The page of all keys."""
    head = "| key | default | takes | |\n|:--|:--|:--|:--|"
    alone = {n: p for n, p in SCHEMA["properties"].items() if "properties" not in resolved(p)}
    parts = ["# Configuration", "Every key of `config.yaml`, from `config/config.schema.json`."]
    parts.append("\n".join([head, *rows({"properties": alone}, DEFAULTS, "")]))
    for name, part in SCHEMA["properties"].items():
        if name not in alone:
            lines = rows(resolved(part), DEFAULTS[name], "")
            parts += [
                f"## {name}",
                # Sentences of the class, rather than the comment of the key.
                resolved({"$ref": part["$ref"]}).get("description", ""),
                "\n".join([head, *lines]),
            ]
    return "\n\n".join(parts) + "\n"


def code() -> str:
    """The page of all public functions and classes."""
    parts = ["# Code", "From the docstrings, in the order of the stages."]
    for package in PACKAGES:
        for file in sorted((ROOT / "workflow_scripts" / package).glob("*.py")):
            if file.stem != "__init__":
                parts.append(f"::: workflow_scripts.{package}.{file.stem}")
    return "\n\n".join(parts) + "\n"


for page, text in (("configuration", configuration()), ("code", code())):
    with mkdocs_gen_files.open(f"reference/{page}.md", "w") as target:
        target.write(text)
