"""The report of a run: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

import paceline
from paceline.journal.activities import appearances, label
from paceline.journal.charts import Mark, loss_chart, share_bar, timeline_chart
from paceline.journal.chronicle import chronicle
from paceline.journal.goodput import Ledger, ledger
from paceline.journal.history import Recovery
from paceline.journal.lead import lead
from paceline.journal.summary import Summary, losses_by_step, summary
from paceline.journal.timeline import SECOND
from paceline.journal.units import counted, duration, offset, share
from paceline.spec.events import Activity, AnyEvent, DatasetPrepared, StackDeployed

# Above these a page stops being readable; the journal has the rest.
_MOST_ZOOMS = 4
_MOST_NODES_IN_A_TABLE = 6


def render(events: Sequence[AnyEvent]) -> str:
    """The page. `events` are in order of time; raises JournalError without a run.started."""
    book = ledger(events)
    figures = summary(events, book)
    sections = (
        _loss(events, figures, book),
        _timelines(book),
        _time(book),
        _events(events, book),
        _deployed(events),
        _facts(events, book),
    )
    looks = appearances()
    page = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(f"{figures.recipe}, run {figures.run}"),
        lead=escape(lead(figures)),
        figures=_figures(figures),
        sections="\n".join(section for section in sections if section),
        version=escape(paceline.__version__),
        light="\n".join(f"  --{activity}: {look.light};" for activity, look in looks.items()),
        dark="\n".join(f"  --{activity}: {look.dark};" for activity, look in looks.items()),
        classes="\n".join(f".{a} {{ fill: var(--{a}); }} .swatch.{a} {{ background: var(--{a}); }}" for a in looks),
    )


def _figures(figures: Summary) -> str:
    spares = f"{share(figures.goodput_reserved, 1)} with spares counted" if figures.spares else "productive node time"
    cells = [("Goodput", share(figures.goodput, 1), spares)]
    if figures.fault_step is not None:
        back = "none" if figures.recovery_seconds is None else duration(figures.recovery_seconds)
        which = f"; first of {len(figures.faults):,} faults" if len(figures.faults) > 1 else ""
        cells.append(("Fault to new step", back, f"noticed after {duration(figures.detect_seconds or 0)}{which}"))
        again = "-" if figures.lost_steps is None else f"{figures.lost_steps:,}"
        cells.append(("Steps lost", again, f"restored from {figures.restored_from or 'nothing'}"))
    if figures.final_loss is not None:
        aside = f"from {figures.first_loss:.2f}"
        if figures.unigram_entropy is not None:
            aside += f"; unigram entropy {figures.unigram_entropy:.2f}"
        cells.append(("Loss, nats per token", f"{figures.final_loss:.3f}", aside))
    cells.append(("Tokens", f"{figures.train_tokens:,}", f"in {counted(figures.steps, 'step')}"))
    cells.append(("Wall time", duration(figures.wall_seconds), counted(figures.nodes, "node")))
    return "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="aside">{escape(aside)}</dd></div>'
        for name, value, aside in cells
    )


def _loss(events: Sequence[AnyEvent], figures: Summary, book: Ledger) -> str:
    losses = losses_by_step(events)
    if not losses:
        return _section("Loss", "No step finished.")
    marks = [Mark(at=r.fault_step, text=r.cause.replace("_", " ")) for r in book.history.recoveries]
    note = "Nats per token, mean over the global batch. "
    if figures.unigram_entropy is not None:
        note += "The dashed line is what a model would reach that knows only how frequent each token is."
    return _section("Loss", note, _wide(loss_chart(losses, figures.unigram_entropy, marks)))


def _timelines(book: Ledger) -> str:
    start, end = book.history.windows[0].start, book.history.windows[-1].end
    recoveries = book.history.recoveries
    marks = [Mark(at=(r.blow - start) / SECOND, text=r.fault.replace("_", " ")) for r in recoveries]
    chart = timeline_chart(book.intervals, start, end, origin=start, marks=marks, grain=4)
    parts = [_wide(chart), _legend(book)]
    zooms = [r for r in recoveries if r.recovered is not None]
    parts += [_zoom(book, recovery) for recovery in zooms[:_MOST_ZOOMS]]
    if len(zooms) > _MOST_ZOOMS:
        parts.append(f'<p class="note">The first {_MOST_ZOOMS} of {len(zooms):,} recoveries are shown.</p>')
    return _section(
        "What each node did", "What filled most of each moment. Seconds since the start of the run.", *parts
    )


def _zoom(book: Ledger, recovery: Recovery) -> str:
    """The same timeline around one fault, seconds counted from the blow."""
    assert recovery.recovered is not None
    assert recovery.opened is not None
    margin = (recovery.recovered - recovery.blow) // 5
    moments = (
        ("blow", recovery.blow),
        ("detected", recovery.detected),
        ("new generation", recovery.opened),
        ("first new step", recovery.recovered),
    )
    marks = [Mark(at=(time - recovery.blow) / SECOND, text=text) for text, time in moments]
    start, end = recovery.blow - margin, recovery.recovered + margin
    chart = timeline_chart(book.intervals, start, end, origin=recovery.blow, marks=marks, grain=1)
    told = (
        f"Detected after {duration(recovery.detect_seconds)}, new generation after "
        f"{duration((recovery.opened - recovery.blow) / SECOND)}, first new step done after "
        f"{duration(recovery.recovery_seconds or 0)}. Seconds since the blow."
    )
    title = f"The recovery: {recovery.cause.replace('_', ' ')}"
    return f'<h3>{escape(title)}</h3><p class="note">{escape(told)}</p>{_wide(chart)}'


def _legend(book: Ledger) -> str:
    shown = book.by_activity()
    items = "".join(f"<li>{_swatch(a)}{escape(label(a))}</li>" for a in appearances() if shown[a])
    return f'<ul class="legend">{items}</ul>'


def _time(book: Ledger) -> str:
    looks = appearances()
    booked = book.by_activity()
    totals = [(activity, booked[activity]) for activity in looks if booked[activity]]
    bar = share_bar(
        (activity.value, f"{label(activity)}: {share(time, book.reserved)}", time / max(1, book.reserved))
        for activity, time in totals
    )
    nodes = list(book.intervals) if len(book.intervals) <= _MOST_NODES_IN_A_TABLE else []
    per_node = {node: book.by_activity(node) for node in nodes}
    rows = [
        [
            f"{_swatch(activity)}{escape(label(activity))}",
            escape(looks[activity].meaning),
            f"{time / SECOND:,.3f}",
            share(time, book.reserved),
            *(f"{part / SECOND:,.3f}" if (part := per_node[node][activity]) else "" for node in nodes),
        ]
        for activity, time in totals
    ]
    walls = [f"{book.wall / SECOND:,.3f}" for _ in nodes]
    rows.append(["all", "wall time of all nodes", f"{book.reserved / SECOND:,.3f}", share(1, 1), *walls])
    columns = ["Class", "Meaning", "Seconds", "Share", *map(escape, nodes)]
    styles = ["name", "quiet", *["number"] * (len(columns) - 2)]
    tones = [""] * len(totals) + ["total"]
    note = (
        "Every microsecond of every node is booked to exactly one class; together they are the wall time of all nodes."
    )
    return _section("Where the time went", note, bar, _table(columns, styles, rows, tones), _causes(book))


def _causes(book: Ledger) -> str:
    causes = {cause.cause for cause in book.history.recoveries}
    rows = []
    for cause, totals in book.by_cause().items():
        if cause in causes:
            parts = ", ".join(f"{label(a)} {time / SECOND:,.3f}" for a, time in totals.most_common())
            rows.append([escape(cause.replace("_", " ")), f"{totals.total() / SECOND:,.3f}", escape(parts)])
    if not rows:
        return ""
    return "<h3>What each fault cost</h3>" + _table(
        ["Fault", "Node seconds", "Of these"], ["name", "number", "quiet"], rows
    )


def _events(events: Sequence[AnyEvent], book: Ledger) -> str:
    rows, unlisted = chronicle(events, book.history.windows[0].start)
    table = _table(
        ["Time", "Node", "What happened"],
        ["number", "name", ""],
        [[offset(row.seconds), escape(row.nodes), escape(row.text)] for row in rows],
        [row.tone for row in rows],
    )
    rest = ", ".join(f"{count:,} {kind}" for kind, count in sorted(unlisted.items()))
    note = f"Only in the journal: {rest}." if rest else ""
    return _section("Events", "Minutes and seconds since the start of the run.", table, f'<p class="note">{note}</p>')


def _deployed(events: Sequence[AnyEvent]) -> str:
    stacks = [event for event in events if isinstance(event, StackDeployed)]
    if not stacks:
        return ""
    rows = [[escape(e.stack), f"{e.resources:,}", duration(e.seconds)] for e in stacks]
    total, seconds = sum(e.resources for e in stacks), sum(e.seconds for e in stacks)
    rows.append([counted(len(stacks), "stack"), f"{total:,}", duration(seconds)])
    table = _table(["Stack", "Resources", "Took"], ["", "number", "number"], rows, [""] * len(stacks) + ["total"])
    return _section("What was deployed", "Before the run, in this order.", table)


def _facts(events: Sequence[AnyEvent], book: Ledger) -> str:
    started = book.history.windows[-1].started
    facts = [
        ("Recipe", f"{started.recipe} (sha256 {started.recipe_sha256[:12]})"),
        ("Started", f"{book.history.windows[0].started.time:%Y-%m-%d %H:%M:%S} UTC"),
        ("World", f"{counted(started.world_size, 'rank')} on {counted(started.nodes, 'node')}"),
        ("Global batch", counted(started.tokens_per_step, "token")),
        ("Planned", counted(started.total_steps, "step")),
        ("Seed", str(started.seed)),
        ("Dataset", started.dataset),
    ]
    for event in events:
        if isinstance(event, DatasetPrepared):
            amount = f"{counted(event.documents, 'document')}, {counted(event.tokens, 'token')}"
            facts.append(("Corpus", f"{amount}, vocabulary {event.vocabulary:,}"))
    facts += [(name, version) for name, version in sorted(started.versions.items())]
    return _section("The run", "", _table(["", ""], ["name quiet", ""], [[escape(a), escape(b)] for a, b in facts]))


def _section(title: str, note: str, *parts: str) -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{told}{''.join(parts)}</section>"


def _swatch(activity: Activity) -> str:
    return f'<span class="swatch {activity.value}"></span>'


def _table(
    columns: Sequence[str], styles: Sequence[str], rows: Iterable[Sequence[str]], tones: Sequence[str] = ()
) -> str:
    """Cells are HTML already. `styles` are the CSS classes of the columns, `tones` those of the rows."""
    classes = [f' class="{style}"' if style else "" for style in styles]
    head = "".join(f"<th{name}>{column}</th>" for name, column in zip(classes, columns, strict=True))
    body = []
    for index, row in enumerate(rows):
        tone = f' class="{tones[index]}"' if tones and tones[index] else ""
        cells = "".join(f"<td{name}>{cell}</td>" for name, cell in zip(classes, row, strict=True))
        body.append(f"<tr{tone}>{cells}</tr>")
    heading = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return _wide(f"<table>{heading}<tbody>{''.join(body)}</tbody></table>")


def _wide(content: str) -> str:
    """What keeps its width and scrolls on a narrow screen."""
    return f'<div class="wide">{content}</div>'
