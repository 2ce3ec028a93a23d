"""The message at the end of a run: the results in short, and the path of the report."""

from pathlib import Path

# The heading of the answers in the summary.
TITLE = "In short"


def last_words(results: str, started: float) -> str:
    """The answers of the summary and the path of the report, if the run that ``started`` then wrote
    them; otherwise empty."""
    report, summary = Path(results, "report", "index.html"), Path(results, "evaluation/summary.md")
    if not report.is_file() or report.stat().st_mtime < started or not summary.is_file():
        return ""
    # Everything before the next section: the note on phantoms, problems, and the answers.
    before, _, rest = summary.read_text(encoding="utf-8").partition(f"## {TITLE}\n")
    answers, _, _ = rest.partition("\n## ")
    shown = "\n\n".join(filter(None, (before.partition("\n")[2].strip(), answers.strip())))
    shown = shown.replace("**", "").replace("## ", "")
    return f"\n{shown}\n\nAll tables: {summary}\nThe report, with all patients: {report}\n"
