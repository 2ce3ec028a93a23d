"""A summary's Markdown as parts of a page."""

from workflow_scripts.report.sections import html, sections

SUMMARY = """# Results

## First

- one
- two

## Second?

| a | b |
|:--|:--|
| 1 | 2 |
"""


def test_each_heading_has_its_text():
    assert sections(SUMMARY) == {
        "First": "- one\n- two",
        "Second?": "| a | b |\n|:--|:--|\n| 1 | 2 |",
    }


def test_a_table_scrolls_and_is_named():
    made = html(sections(SUMMARY)["Second?"], "Second?")
    assert made.startswith('<div class="scroll" role="region" aria-label="Table: Second?"')
    assert made.endswith("</table></div>")
    assert "<td" in made


def test_code_is_shown_as_it_stands():
    assert html("- `results/<split>/`", "x") == (
        "<ul>\n<li><code>results/&lt;split&gt;/</code></li>\n</ul>"
    )


def test_what_looks_like_html_is_shown_as_it_stands():
    assert html("p <0.001 & <script>alert(1)</script>", "x") == (
        "<p>p &lt;0.001 &amp; &lt;script&gt;alert(1)&lt;/script&gt;</p>"
    )
