"""The parts of a summary written in Markdown, as HTML."""

import re

from markdown import Markdown

# Wide tables scroll by themselves; by keyboard too, for which the box must be reachable.
TABLE = '<div class="scroll" role="region" aria-label="Table: {}" tabindex="0"><table>'


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level, by heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {h.strip(): t.strip() for h, t in zip(parts[1::2], parts[2::2], strict=True)}


def html(text: str, title: str) -> str:
    """Markdown as HTML. What looks like HTML in it is shown as it stands."""
    converter = Markdown(extensions=["tables"])
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    markup = converter.convert(text)
    return markup.replace("<table>", TABLE.format(title)).replace("</table>", "</table></div>")
