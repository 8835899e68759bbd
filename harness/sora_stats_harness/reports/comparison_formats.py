"""
Formats a comparison of runs: as text for a terminal, Markdown for a merge request, JSON for a program, or a page.

Every format says the same in the same order: the headline, findings, fields, latencies, capacity, coverage, and notes
about the limits of the comparison. A row without a result says why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..api.language import translate
from . import html_elements as html
from . import summary
from .comparison_result import CapacityChange, ComparedRuns, FindingChange, LatencyBound, LatencyChange, RunComparison
from .escaping import DEFAULT_LIMIT_CHARACTERS, escape_terminal
from .escaping import escape_markdown as code
from .markdown import escape_inline
from .run_comparison import describe_ratio
from .text_wrapping import columns as columns_of
from .text_wrapping import pad, wrap_text

MAX_FINDINGS: Final = 50
MAX_FIELDS: Final = 30
MAX_LINE_CHARACTERS: Final = 1000

_CHANGE_TEXTS: Final = {"new": "new", "fixed": "fixed", "not_seen": "not seen, and NEW did not look"}
_COVERAGE_TEXTS: Final = {"fields_seen": "fields seen", "counters_grew": "counters that grew", "slow_path": "slow path"}

TextTable = tuple[str, Sequence[str], Sequence[Sequence[str]], str]
"""Title, columns (none for a list), rows, and a sentence below; all columns but the first are right-aligned."""


def render_text(comparison: RunComparison) -> str:
    """The comparison for a terminal, without colour."""
    blocks = [
        [f"sora-harness compare  ({_clean(f'edition {comparison.edition}, {comparison.subject_kind}')})"]
        + [f"  {name:<4}  {_clean(line, MAX_LINE_CHARACTERS)}" for name, line in comparison_sides(comparison)],
        *(_text_table(table) for table in comparison_tables(comparison)),
        [translate("Notes"), *(f"  {_clean(note, MAX_LINE_CHARACTERS)}" for note in comparison_notes(comparison))]
        if comparison_notes(comparison)
        else [],
        [
            f"{verdict_word(comparison)}  {_clean(comparison_headline(comparison), MAX_LINE_CHARACTERS)}  "
            f"{translate(f'(exit {comparison.exit_code})')}"
        ],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _clean(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """A text in the language of the run, on one harmless line."""
    return escape_terminal(translate(text), limit)


def verdict_word(comparison: RunComparison) -> str:
    """The verdict, if the comparison had thresholds to decide."""
    policy = comparison.policy
    return comparison.verdict.upper() if policy.fail_on or policy.no_worse_than is not None else "COMPARED"


def _text_table(table: TextTable) -> list[str]:
    title, columns, rows, note = table
    shown = [[_clean(cell) for cell in row] for row in ([columns, *rows] if columns else rows)]
    widths = [max(map(columns_of, cells)) for cells in zip(*shown, strict=True)]
    lines = ["  ".join(pad(cell, wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in shown]
    return [translate(title), *(f"  {line}" for line in [*lines, *wrap_text(translate(note), 98)] if line)]


def render_markdown(comparison: RunComparison) -> str:
    """The comparison in the Markdown that GitHub and GitLab share; texts from a server are in code spans."""
    blocks = [
        f"## {_VERDICT_SIGNS[verdict_word(comparison)]} {code(comparison_headline(comparison), MAX_LINE_CHARACTERS)}"
    ]
    blocks.append(
        "\n".join(f"- {name}: {code(line, MAX_LINE_CHARACTERS)}" for name, line in comparison_sides(comparison))
    )
    for title, columns, rows, note in comparison_tables(comparison):
        blocks.append(f"### {title}")
        if columns:
            cells = (columns, ["---", *["---:"] * (len(columns) - 1)], *(map(escape_inline, row) for row in rows))
            lines = ["| " + " | ".join(row) + " |" for row in cells]
        else:
            lines = ["- " + ", ".join(code(cell) for cell in row if cell) for row in rows]
        blocks += ["\n".join(lines)] if lines else []
        blocks += [note] if note else []
    if notes := comparison_notes(comparison):
        blocks.append("### Notes")
        blocks.append("\n".join(f"- {code(note, MAX_LINE_CHARACTERS)}" for note in notes))
    return "\n\n".join(blocks) + "\n"


_VERDICT_SIGNS: Final = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "COMPARED": "Compared:"}


def render_json(comparison: RunComparison) -> str:
    """The whole comparison, ASCII."""
    return json.dumps(msgspec.to_builtins(comparison), indent=2).replace("\x7f", "\\u007f") + "\n"


def comparison_headline(comparison: RunComparison) -> str:
    """What changed, in one sentence."""
    if comparison.reason is not None:
        return comparison.reason
    allowed = comparison.policy.no_worse_than
    parts = [f"no figure is worse by more than {allowed * 100:.4g} %"] if allowed is not None else []
    changes = Counter(each.change for each in comparison.findings)
    parts += [summary.count_with_noun(changes["new"], "new finding")] if changes["new"] else []
    parts += [summary.count_with_noun(changes["fixed"], "fixed finding")] if changes["fixed"] else []
    parts += [f"{summary.count_with_noun(len(comparison.fields_gone), 'field')} gone"] if comparison.fields_gone else []
    parts += [f"{summary.count_with_noun(len(comparison.fields_new), 'new field')}"] if comparison.fields_new else []
    for outcome in ("slower", "faster"):
        names = [f"{row.target} p{row.percentile:g}" for row in comparison.latency if row.outcome == outcome]
        parts += (
            [f"{outcome}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"]
            if names
            else []
        )
    if comparison.capacity is not None and comparison.capacity.outcome != "overlap":
        parts.append(f"{comparison.capacity.outcome} capacity")
    return "; ".join(parts) if parts else "no change is shown"


def comparison_sides(comparison: RunComparison) -> list[tuple[str, str]]:
    """The runs of each side, a line each."""
    return [("BASE", _describe_side(comparison.base)), ("NEW", _describe_side(comparison.new))]


def _describe_side(side: ComparedRuns) -> str:
    verdicts = ", ".join(f"{count} {word}" for word, count in side.verdicts.items())
    labels = "".join(f", {key}={value}" for key, value in side.labels.items())
    return f"{summary.count_with_noun(side.runs, 'run')} ({verdicts}) of {', '.join(side.subjects)}{labels}, from {side.started_at}"


def comparison_notes(comparison: RunComparison) -> list[str]:
    """Notes about the limits of the comparison."""
    self_test = [summary.SELF_TEST_NOTE] if comparison.subject_kind == "simulator" else []
    return [*comparison.notes, *self_test]


def comparison_tables(comparison: RunComparison) -> list[TextTable]:
    """The tables that every format shows, in order."""
    tables = [_findings(comparison)]
    if fields := _fields(comparison):
        tables.append(fields)
    if comparison.latency:
        tables.append(_latency(comparison))
    if comparison.capacity is not None:
        tables.append(_capacity(comparison.capacity))
    rows = [
        [_COVERAGE_TEXTS.get(row.name, row.name), f"{row.base:,.5g}", f"{row.new:,.5g}"] for row in comparison.coverage
    ]
    tables.append(("Coverage", ("median of the runs", "BASE", "NEW"), rows, ""))
    return tables


def _findings(comparison: RunComparison) -> TextTable:
    rows = [_finding(each, comparison) for each in comparison.findings[:MAX_FINDINGS]]
    more = len(comparison.findings) - MAX_FINDINGS
    parts = [f"{comparison.findings_in_both:,} on both sides"] + ([f"{more:,} more in the JSON"] if more > 0 else [])
    return ("Findings", (), rows, f"{'' if rows else 'None is new or gone; '}{', '.join(parts)}.")


def _finding(each: FindingChange, comparison: RunComparison) -> list[str]:
    side = comparison.new if each.change == "new" else comparison.base
    where = f"{each.target or 'a wrong request'} {each.field or 'the whole response'}"
    extra = ["waived"] if each.waived else []
    extra += ["BASE did not look"] if each.change == "new" and not each.observed_before else []
    runs = f"in {each.runs} of {summary.count_with_noun(side.runs, 'run')}" if side.runs > 1 else ""
    words = ", ".join([_CHANGE_TEXTS[each.change], *extra])
    return [words, each.level, each.requirement, where, each.message, runs]


def _fields(comparison: RunComparison) -> TextTable | None:
    rows = [
        [word, path]
        for word, paths in (("gone", comparison.fields_gone), ("new", comparison.fields_new))
        for path in paths[:MAX_FIELDS]
    ]
    more = sum(max(0, len(paths) - MAX_FIELDS) for paths in (comparison.fields_gone, comparison.fields_new))
    return ("Documented fields", (), rows, f"{more:,} more in the JSON." if more else "") if rows else None


def _latency(comparison: RunComparison) -> TextTable:
    policy = comparison.policy
    columns = [
        policy.time + " time",
        "runs",
        "BASE ms",
        "NEW ms",
        "shift ms",
        "between",
        "change",
        "p (Holm)",
        "outcome",
    ]
    rows = [_latency_row(row) for row in comparison.latency]
    if policy.no_worse_than is not None:
        columns.append(f"no worse than {policy.no_worse_than * 100:.4g} %")
        rows = [[*cells, describe_bound(row.bound)] for cells, row in zip(rows, comparison.latency, strict=True)]
    note = (
        f"Medians of the runs' percentiles; the shift is the median of all differences, with a confidence of "
        f"{1 - policy.alpha:.4g} between those bounds. A change is claimed from {policy.min_effect * 100:.3g} % of "
        f"BASE on, at p of {policy.alpha:g} or less over all tested rows."
    )
    return ("Latency", columns, rows, note)


def _latency_row(row: LatencyChange) -> list[str]:
    bounds = row.shift_interval_ms
    return [
        f"{row.target} p{row.percentile:g}",
        f"{row.base_runs}+{row.new_runs}",
        f"{row.base_ms:,.4g}",
        f"{row.new_ms:,.4g}",
        f"{row.shift_ms:+,.4g}",
        f"{bounds[0]:+,.4g} … {bounds[1]:+,.4g}" if bounds else "-",
        f"{row.effect:+.1%}" if row.effect is not None else "-",
        f"{row.p_holm:.2g}" if row.p_holm is not None else "-",
        describe_latency_outcome(row),
    ]


def describe_latency_outcome(row: LatencyChange) -> str:
    """The outcome of a row of latencies, in words."""
    if row.outcome == "too_few_runs":
        return f"too few runs: {row.runs_needed} per side needed"
    if row.outcome == "not_tested":
        return f"not tested: {row.runs_needed} runs per side needed"
    return {
        "slower": "SLOWER",
        "faster": "FASTER",
        "below_min_effect": "changed by less than the minimum",
        "not_shown": "no change shown",
    }[row.outcome]


def describe_bound(bound: LatencyBound | None) -> str:
    """What the runs show about the bound, and the interval of NEW, in words."""
    if bound is None or bound.ratio_interval is None:
        return "too few runs"
    word = {"kept": "yes", "exceeded": "NO", "undecided": "cannot tell"}[bound.outcome]
    runs = f", about {bound.runs_needed} runs per side needed" if bound.runs_needed is not None else ""
    return f"{word}: {describe_ratio(bound)}{runs}"


def _capacity(change: CapacityChange) -> TextTable:
    def show(interval: tuple[float, float | None]) -> str:
        low, high = interval
        return f"{low:,.4g} … {high:,.4g}" if high is not None else f"{low:,.4g} or more"

    word = {"lower": "LOWER", "higher": "HIGHER", "overlap": "no change shown: the intervals overlap"}[change.outcome]
    if change.bound is not None:
        word += {
            "kept": "; no worse than allowed",
            "exceeded": "; worse than allowed",
            "undecided": "; may be worse than allowed",
        }[change.bound]
    columns = ("requests a second", "BASE", "NEW", "outcome")
    return ("Capacity", columns, [["from confirmed to failed", show(change.base), show(change.new), word]], "")


# As a page.

_LIST_COLUMNS: Final = {
    "Findings": ("Change", "Level", "Requirement", "Where", "What it says", "Runs"),
    "Documented fields": ("Change", "Field"),
}
"""The columns of tables that the other formats show as lists."""


def render_page(comparison: RunComparison) -> str:
    """The comparison as one HTML file without scripts or external resources."""
    notes = comparison_notes(comparison)
    sections = [_page_section(table) for table in comparison_tables(comparison)]
    sections.append(
        html.PageSection(
            "notes", "Notes", "Notes", html.bullet_list(notes, limit=MAX_LINE_CHARACTERS) if notes else None
        )
    )
    title = f"{verdict_word(comparison)} {translate(comparison_headline(comparison))}"
    return html.document(title, html.page_style(), [_page_head(comparison), *html.page_sections(sections)])


def _page_head(comparison: RunComparison) -> html.SafeHtml:
    word = verdict_word(comparison)
    style = comparison.verdict if word != "COMPARED" else "info"
    sides = [
        (name, html.breakable_text(translate(line), MAX_LINE_CHARACTERS)) for name, line in comparison_sides(comparison)
    ]
    facts = (f"edition {comparison.edition}", comparison.subject_kind, f"exit code {comparison.exit_code}")
    return html.element(
        "header",
        html.element("h1", html.status_badge(word, style), " ", "Comparison of runs"),
        html.element("p", comparison_headline(comparison), class_="headline", limit=MAX_LINE_CHARACTERS),
        html.definition_list(sides),
        html.bullet_list(facts, class_="facts"),
        class_=f"verdict {style}",
    )


def _page_section(table: TextTable) -> html.PageSection:
    title, columns, rows, note = table
    right = range(1, len(columns))
    heads = columns or _LIST_COLUMNS[title]
    shown = [html.table_row(*(row if columns else map(_list_cell, row)), right=right) for row in rows]
    content: list[html.HtmlContent] = (
        [html.data_table(f"{title} of BASE and NEW", heads, shown, right=right)] if shown else []
    )
    return html.PageSection(
        title.lower().replace(" ", "-"),
        f"{title} ({len(rows)})",
        title,
        [*content, html.small_note(note) if note else None],
    )


def _list_cell(text: str) -> html.HtmlContent:
    """A cell of paths, ids or words; paths and ids may be broken between their parts."""
    return html.code_text(text) if "/" in text or ("." in text and " " not in text) else text


COMPARISON_RENDERERS: Final[dict[str, Callable[[RunComparison], str]]] = {
    "text": render_text,
    "markdown": render_markdown,
    "json": render_json,
    "html": render_page,
}
"""The formats by their names on the command line."""
