"""Sections of the Markdown summary as HTML."""

import re

from markdown import Markdown

# Wide tables scroll in their own box, which can be focused to scroll by keyboard.
TABLE = '<div class="scroll" role="region" aria-label="Table: {}" tabindex="0"><table>'


def sections(text: str) -> dict[str, str]:
    """The text below each second-level heading, by heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {h.strip(): t.strip() for h, t in zip(parts[1::2], parts[2::2], strict=True)}


def html(text: str, title: str) -> str:
    """Convert Markdown to HTML; HTML in the text is escaped."""
    converter = Markdown(extensions=["tables"])
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    markup = converter.convert(text)
    return markup.replace("<table>", TABLE.format(title)).replace("</table>", "</table></div>")
