"""A hook of mkdocs: equations as MathML, which browsers show without any script."""

import re

from latex2mathml.converter import convert

DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$([^$\n`]+?)\$(?![\w$])")
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)


def on_page_markdown(markdown: str, **_) -> str:
    """Replace ``$$ … $$`` and ``$ … $`` outside of code."""
    parts = CODE.split(markdown)
    for index in range(0, len(parts), 2):
        shown = DISPLAY.sub(lambda m: convert(m[1].strip(), display="block"), parts[index])
        parts[index] = INLINE.sub(lambda m: convert(m[1].strip()), shown)
    return "".join(parts)
