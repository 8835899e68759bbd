"""
Renders the summary that a person reads at the end of a run.

The parts in order: the headline figures; incidents; the top findings, each with its place, the expected and actual
values and how to reproduce it; an index of the others; requirements and measurements, whichever the run is about first;
what was covered and what was not; and finally, next to the prompt, the verdict. rich lays it out. Words are never
broken, since ids, pointers and command lines are meant to be copied.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.language import translate
from ..judge.verdict import FindingEntry, Verdict
from . import incident_summary, summary
from .escaping import DEFAULT_LIMIT_CHARACTERS, escape_terminal
from .figure_cells import STRENGTH_NOTE, MeasurementSection, MeasurementTable, strength_text
from .headline import headline_figures, leads_with_measurements
from .measurement_tables import measurement_sections
from .picture_text import picture_lines
from .report import VerdictReport
from .text_wrapping import break_points, columns, longest_word, pad
from .violation_picture import make_violation_picture

MAX_INDEX_LINES: Final = 20
"""How many requirements the index of further findings names; the files have all of them."""

MAX_TITLE_CHARACTERS: Final = 500
"""The most characters of a section's title, which may contain the whole result."""

DEFAULT_WIDTH: Final = 110
"""The width without a terminal."""

FACT_LABEL_WIDTH: Final = 11
"""The width of the labels of a finding's facts."""

MAX_NUMBER_CHARACTERS: Final = 40
"""The most characters of a figure in the headline, which may be an SLO."""

MAX_DIAGNOSIS_CHARACTERS: Final = 1000
"""Of a row of a diagnosis, which may hold a command line."""

MAX_LINE_CHARACTERS: Final = 4000
"""The most characters of a list of ids."""

_STYLES: Final = {
    "fail": "bold red",
    "warn": "yellow",
    "inconclusive": "magenta",
    "not_checked": "magenta",
    "known": "cyan",
    "waived": "cyan",
    "info": "cyan",
    "pass": "green",
    "met": "green",
}


class Detail(Enum):
    """How much of a run the summary shows."""

    VERDICT = "verdict"
    """Only the last line."""
    SUMMARY = "summary"
    FULL = "full"
    """The summary, each requirement, and the pictures of findings about counters and timestamps."""


def render_terminal(
    report: VerdictReport, *, colour: bool = False, width: int = DEFAULT_WIDTH, detail: Detail = Detail.SUMMARY
) -> str:
    """
    Write the summary.

    Args:
        colour: Whether to use colour; without it the text contains no control character but line breaks.
        width: The columns to wrap at; text without blanks may be longer.
        detail: How much to show.
    """
    page = _Page(colour=colour, width=width, draws=detail is Detail.FULL)
    verdict = report.verdict
    if detail is Detail.VERDICT:
        _write_verdict(page, verdict)
        return page.text()
    if verdict.diagnosis:
        _write_diagnosis(page, verdict)
        return page.text()
    _write_head(page, verdict)
    _write_incidents(page, report)
    _write_findings(page, report)
    if leads_with_measurements(verdict):
        _write_measurements(page, verdict)
    _write_conformance(page, verdict, detail)
    if not leads_with_measurements(verdict):
        _write_measurements(page, verdict)
    _write_pairs(page, "Covered", summary.coverage_lines(verdict))
    _write_unobserved(page, verdict)
    _write_notes(page, verdict)
    _write_verdict(page, verdict)
    return page.text()


def _write_diagnosis(page: _Page, verdict: Verdict) -> None:
    """Why nothing was seen, in place of all that was not."""
    wide = _label_width(verdict.diagnosis)
    for label, text in verdict.diagnosis.items():
        page.pair(label, _clean(text, MAX_DIAGNOSIS_CHARACTERS), indent=0, label_width=wide, wrap=False)
    _write_verdict(page, verdict)


class _Page:
    """Collects lines; strings from a server must be escaped already."""

    def __init__(self, *, colour: bool, width: int, draws: bool) -> None:
        self.width = width
        self.draws = draws
        """Whether findings are drawn."""
        self._file = io.StringIO()
        self._console = Console(
            file=self._file,
            width=width,
            color_system="standard" if colour else None,
            force_terminal=colour,
            no_color=not colour,
            highlight=False,
            legacy_windows=False,
        )

    def text(self) -> str:
        """The whole text, without blanks at the end of lines."""
        lines = [line.rstrip() for line in self._file.getvalue().split("\n")]
        return "\n".join(lines).strip("\n") + "\n"

    def line(self, *parts: str | tuple[str, str], indent: int = 0, hanging: int = 0) -> None:
        """Write a line of texts, some with a style; it wraps with an indentation of `hanging` columns."""
        said = [translate(part) if isinstance(part, str) else (translate(part[0]), part[1]) for part in parts]
        lines = _wrap(Text.assemble(*said), self.width - max(indent, hanging))
        for place, part in enumerate(lines):
            self._print(" " * (hanging if place else indent), part)

    def _print(self, *parts: str | Text | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def verbatim(self, text: str, *, indent: int) -> None:
        """Write a line whose blanks matter."""
        self._print(" " * indent, text)

    def title(self, text: str) -> None:
        """Begin a block."""
        self.gap()
        self.line((text, "bold"))

    def gap(self) -> None:
        """Write an empty line."""
        self._console.print()

    def pair(
        self, label: str, text: str, *, indent: int, label_width: int, wrap: bool = True, style: str = "dim"
    ) -> None:
        """Write a label and a text, which wraps below itself."""
        start = " " * indent + pad(translate(label), label_width) + "  "
        text = translate(text) if wrap else text
        rows = _wrap(Text(text), self.width - columns(start)) if wrap else [Text(text)]
        for place, part in enumerate(rows):
            self._print(" " * columns(start) if place else (start, style), part)

    def grid(self, rows: Sequence[Sequence[Text]], *, right: Collection[int] = (), wrapped: int | None) -> bool:
        """
        Write a table.

        Args:
            rows: The rows of cells, including the head.
            right: The right-aligned columns.
            wrapped: The column that takes the remaining width, and wraps if that is too little.

        Returns:
            Whether it was written; False if it can't be shown without breaking a word.
        """
        least = 0
        table = Table.grid(padding=(0, 2, 0, 0))
        for place, column in enumerate(zip(*rows, strict=True)):
            least += 2 + max(longest_word(cell.plain) if place == wrapped else cell.cell_len for cell in column)
            table.add_column(justify="right" if place in right else "left", no_wrap=place != wrapped)
        if least - 2 > self.width:
            return False
        for cells in rows:
            table.add_row(*cells)
        self._console.print(table)
        return True


def _wrap(text: Text, width: int) -> list[Text]:
    """Break a text at blanks only; rich itself would cut a word that is longer than the line."""
    return list(text.divide(break_points(text.plain, width)))


def _clean(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """A text in the language of the run, on one escaped line."""
    return escape_terminal(translate(text), limit)


def _label_width(labels: Iterable[str], least: int = 0) -> int:
    return max([least, *(columns(translate(label)) for label in labels)])


def _write_head(page: _Page, verdict: Verdict) -> None:
    what = " ".join(part for part in ("sora-harness", verdict.command) if part)
    took = summary.run_duration_s(verdict)
    about = ", ".join([f"edition {verdict.edition}"] + ([f"{took:,.1f} s"] if took is not None else []))
    if text := summary.other_edition_note(verdict):
        page.line((_clean(text), _STYLES["warn"]))
    page.line((_clean(what), "bold"), f"  {_clean(verdict.subject)}  ({_clean(about)})", hanging=2)
    if labels := ", ".join(f"{key}={value}" for key, value in verdict.labels.items()):
        page.line(f"labels  {_clean(labels)}", hanging=8)
    _write_figures(page, verdict)


def _write_figures(page: _Page, verdict: Verdict) -> None:
    """Write the headline figures, a line each, with the numbers aligned."""
    figures = headline_figures(verdict)
    numbers = [_clean(figure.number, MAX_NUMBER_CHARACTERS) for figure in figures]
    wide = max(map(columns, numbers))
    for number, figure in zip(numbers, figures, strict=True):
        style = _STYLES.get(figure.style, "bold")
        page.pair(" " * (wide - columns(number)) + number, _clean(figure.text), indent=2, label_width=wide, style=style)


def _write_measurements(page: _Page, verdict: Verdict) -> None:
    for section in measurement_sections(verdict):
        _write_section(page, section)


def _write_conformance(page: _Page, verdict: Verdict, detail: Detail) -> None:
    if detail is Detail.FULL:
        _write_requirements(page, verdict)
    else:
        _write_families(page, verdict)
    _write_pairs(page, "Differences from the documentation", summary.drift_lines(verdict))
    _write_pairs(page, "Waivers", summary.waiver_lines(verdict))
    _write_pairs(page, "Baseline", summary.baseline_lines(verdict))


def _write_families(page: _Page, verdict: Verdict) -> None:
    families = summary.family_summaries(verdict)
    rows = [
        (
            Text(f"  {_clean(row.name)}"),
            Text(translate(summary.status_counts(row.members)), style=_STYLES.get(summary.status_style(row.worst), "")),
            Text(translate(f"{row.checked:>12,} checked")),
        )
        for row in families
    ]
    if not rows:
        return
    page.gap()
    if not page.grid(rows, wrapped=1):
        wide = max(len(row.name) for row in families)
        for row in families:
            text = f"{summary.status_counts(row.members)} {row.checked:,} checked"
            page.pair(_clean(row.name), text, indent=2, label_width=wide)


def _write_requirements(page: _Page, verdict: Verdict) -> None:
    """Write each requirement, with its status, how often it was checked, and what that excludes."""
    wide = max((len(row.id) for row in verdict.requirements), default=0)
    page.gap()
    page.line(STRENGTH_NOTE, indent=2, hanging=2)
    for row in verdict.requirements:
        page.line(
            f"{_clean(row.id):<{wide}}  ",
            (pad(translate(summary.status_text(row)), 14), _STYLES.get(summary.status_style(row), "")),
            f"{row.checked:>10,} checked  {strength_text(row)}",
            indent=2,
            hanging=4,
        )


def _write_incidents(page: _Page, report: VerdictReport) -> None:
    """Write the incidents, before any finding, each with a summary of what it explains."""
    verdict = report.verdict
    if not verdict.incidents:
        return
    page.title(incident_summary.incidents_title(verdict))
    for incident in incident_summary.incidents_by_weight(verdict):
        page.gap()
        page.line((_clean(incident.id), "bold"), f"  {_clean(incident.summary)}", indent=2, hanging=5)
        entries = [entry for _, entry in incident_summary.incident_findings(verdict, incident)]
        _write_picture(page, report, entries)
        _write_facts(page, incident_summary.incident_facts(verdict, incident))


def _write_findings(page: _Page, report: VerdictReport) -> None:
    """Write the top findings in full, then an index of all others by requirement."""
    verdict = report.verdict
    if not verdict.findings:
        return
    page.title(summary.findings_title(verdict))
    shown = summary.top_findings(verdict)
    for place, entry in shown:
        _write_finding(page, place, entry, report)
    for text in (incident_summary.incident_note(verdict), summary.drift_note(verdict)):
        if text:
            page.gap()
            page.line(text, indent=2, hanging=2)
    groups = summary.finding_groups(verdict, without=[place for place, _ in shown])
    if groups:
        page.gap()
        page.line("Further findings, all of them in the reports:", indent=2, hanging=2)
    for group in groups[:MAX_INDEX_LINES]:
        name = (_clean(group.first.requirement), _STYLES.get(summary.finding_style(report, group.first), ""))
        text = f"  {group.count:,} more, from number {group.place}: {_clean(group.first.message)}"
        page.line(name, text, indent=2, hanging=5)
    if len(groups) > MAX_INDEX_LINES:
        page.line(f"… and {len(groups) - MAX_INDEX_LINES} more requirements", indent=2, hanging=2)


def _write_finding(page: _Page, place: int, entry: FindingEntry, report: VerdictReport) -> None:
    mark = f", {entry.status}" if entry.status != "new" else ""
    name = (_clean(entry.requirement), _STYLES.get(summary.finding_style(report, entry), ""))
    page.gap()
    page.line(f"{place}. ", name, f"  {entry.level}{mark}  {_clean(entry.message)}", indent=2, hanging=5)
    _write_picture(page, report, [entry])
    _write_facts(page, summary.finding_facts(report, entry))


def _write_facts(page: _Page, rows: Iterable[tuple[str, str]]) -> None:
    """Write the facts of a finding; a command line is shown in full, to be copied."""
    for label, text in rows:
        is_text = label != "reproduce"
        shown = escape_terminal(translate(text) if is_text else text, summary.fact_limit(label))
        page.pair(label, shown, indent=5, label_width=FACT_LABEL_WIDTH, wrap=is_text)


def _write_picture(page: _Page, report: VerdictReport, entries: Sequence[FindingEntry]) -> None:
    """Write the picture of the first finding that has one."""
    if not page.draws:
        return
    pictures = (make_violation_picture(entry, report.evidence_of(entry)) for entry in entries)
    if (picture := next((each for each in pictures if each is not None), None)) is None:
        return
    page.line(_clean(picture.sentence, MAX_TITLE_CHARACTERS), indent=5, hanging=5)
    page.gap()
    for text in picture_lines(picture, page.width - 7):
        page.verbatim(escape_terminal(text), indent=7)
    page.gap()


def _write_section(page: _Page, section: MeasurementSection) -> None:
    page.title(_clean(section.title, MAX_TITLE_CHARACTERS))
    if section.warning:
        page.line((_clean(section.warning), _STYLES["warn"]), indent=2, hanging=2)
    for place, table in enumerate(table for table in section.tables if not table.folded):
        if place:
            page.gap()
        _write_table(page, table)


def _write_table(page: _Page, table: MeasurementTable) -> None:
    page.line((_clean(table.title), "dim"), indent=2, hanging=2)
    kept = list(range(len(table.columns)))
    for left_out in (None, *table.optional):
        if left_out is not None:
            kept.remove(left_out)
        cells = [[_clean(row[place]) for place in kept] for row in (table.columns, *table.rows)]
        grid = [[Text(f"  {first}"), *map(Text, rest)] for first, *rest in cells]
        right = [place for place, column in enumerate(kept) if column in table.numeric]
        last = len(kept) - 1
        if page.grid(grid, right=right, wrapped=None if last in right else last):
            break
    else:
        heads = [_clean(column) for column in table.columns]
        for place, row in enumerate(table.rows):
            if place:
                page.gap()
            for label, text in zip(heads, row, strict=True):
                page.pair(label, _clean(text), indent=2, label_width=_label_width(heads))
    if table.note:
        page.line(_clean(table.note, MAX_TITLE_CHARACTERS), indent=2, hanging=2)


def _write_pairs(page: _Page, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    page.title(title)
    wide = _label_width((label for label, _ in rows), 10)
    for label, text in rows:
        page.pair(label, _clean(text, 1000), indent=2, label_width=wide)


def _write_unobserved(page: _Page, verdict: Verdict) -> None:
    rows = summary.unobserved_requirements(verdict)
    if not rows:
        return
    page.title("Not observed")
    for why, ids in rows:
        page.line(f"{_clean(why)}:", indent=2, hanging=4)
        page.line(_clean(", ".join(ids), MAX_LINE_CHARACTERS), indent=4, hanging=4)


def _write_notes(page: _Page, verdict: Verdict) -> None:
    notes = verdict.coverage.notes
    if not notes:
        return
    page.title("Notes")
    for note in notes:
        page.line(_clean(note), indent=2, hanging=4)


def _write_verdict(page: _Page, verdict: Verdict) -> None:
    page.gap()
    if summary.is_self_test(verdict):
        page.line((summary.SELF_TEST_NOTE, "bold"))
    word = (verdict.verdict.upper(), _STYLES[verdict.verdict])
    page.line(word, f"  {_clean(summary.verdict_headline(verdict))}  (exit {verdict.exit_code})", hanging=6)
