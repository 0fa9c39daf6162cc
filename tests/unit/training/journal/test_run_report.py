from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any, get_args

import pytest

from paceline.journal.activities import appearances
from paceline.journal.charts import ticks
from paceline.journal.chronicle import chronicle
from paceline.journal.goodput import ledger
from paceline.journal.report import render
from paceline.journal.sentences import sentence
from paceline.journal.units import duration, offset, share, size
from paceline.spec import events as ev

VOID = {"meta", "br", "rect", "circle", "line", "polyline"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps what a test wants to know."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data + "\n"


def test_the_page_is_whole_and_tells_the_run(run_of):
    page = Page(render(run_of().read()))
    for heading in ("Loss", "What each node did", "Where the time went", "Events", "What was deployed", "The run"):
        assert f"\n{heading}\n" in page.text
    assert "unigram entropy 5.90" in page.text
    assert "node lost on node-1" in page.text
    assert "sandbox-Storage" in page.text
    assert "71.850" in page.text  # three nodes, 23.95 s


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(run_of):
    text = render(run_of().read())
    names = {tag for tag, _ in Page(text).tags}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "use", "image"})
    assert not re.search(r"url\(|@import|https?://", text)


def test_what_producers_write_cannot_become_markup(run_of):
    events = run_of().read()
    evil = "<script>alert('x')</script>&\"$$lead"
    for kind, field in (
        (ev.FaultDetected, "evidence"),
        (ev.FaultDetected, "fault"),
        (ev.RunStarted, "recipe"),
        (ev.RunStarted, "dataset"),
        (ev.StackDeployed, "stack"),
        (ev.MembershipChanged, "reason"),
        (ev.GenerationOpened, "cause"),
    ):
        events = [e.model_copy(update={field: evil}) if isinstance(e, kind) else e for e in events]
    page = Page(render(events))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) >= 6


def test_a_run_without_steps_or_faults_has_a_page(script):
    script.start(0, nodes=1, spares=0)
    script.at(1, ev.RunFinished, outcome="failed", step=0, reason="no room")
    page = Page(render(script.read()))
    assert "No step finished." in page.text
    assert "The run failed at step 0: no room." in page.text


def test_a_run_of_one_step_has_a_loss_chart(script):
    script.start(0, nodes=1, spares=0)
    script.open(0, 0, ["a"], 0)
    script.step(1, "a", 1, 0, seconds=1)
    assert 'class="loss"' in render(script.read())


def test_the_bar_and_the_timeline_show_what_the_ledger_says(run_of):
    events = run_of().read()
    text = render(events)
    book = ledger(events)
    bar = re.search(r'aria-label="Where the time went">(.*?)</svg>', text)
    assert bar
    widths = {m[1]: float(m[2]) for m in re.finditer(r'class="(\w+)" x="[\d.]+" y="0" width="([\d.]+)"', bar[1])}
    assert sum(widths.values()) == pytest.approx(960, abs=0.1)
    assert widths == pytest.approx({a.value: 960 * t / book.reserved for a, t in book.by_activity().items()}, abs=0.01)


def test_every_activity_has_an_appearance():
    assert set(appearances()) == set(ev.Activity)
    for look in appearances().values():
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in (look.light, look.dark))
        assert look.meaning


def test_routine_is_one_row_and_machine_talk_none(run_of):
    events = run_of().read()
    rows, unlisted = chronicle(events, ledger(events).history.windows[0].start)
    texts = [row.text for row in rows]
    assert "Steps 1 to 21 finished in 10.5 s; loss 7.545 to 2.916." in texts
    assert any(text.endswith("checkpoint of step 40 committed.") for text in texts)
    assert [row.nodes for row in rows if row.text.startswith("Joined")] == ["node-0, node-1, node-2"]
    assert [row.nodes for row in rows if row.tone == "trouble"] == ["node-1"] * 3
    assert unlisted["snapshot.taken"] == 82
    assert len(rows) < 25


CONTEXT = {"time": ev.now(), "monotonic_ns": 0, "run": "r", "producer": "p", "generation": 1}
SPECIAL = {
    "ranks": {"a": 0},
    "standings": (),
    "guilty_ranks": (1,),
    "command": ("word",),
    "activity": ev.Activity.LOST_WORK,
    "tasks": {},
    "metrics": {},
}


def _value(name: str, annotation: Any) -> Any:
    """Something that a field of this type can hold; of a choice the first."""
    if name in SPECIAL:
        return SPECIAL[name]
    choices = get_args(annotation)
    if choices and isinstance(choices[0], str):
        return choices[0]
    return {str: "word", int: 3, float: 0.5}[choices[0] if choices else annotation]


@pytest.mark.parametrize("kind", sorted(ev.Event.__subclasses__(), key=lambda kind: kind.__name__))
def test_every_kind_of_event_has_a_sentence(kind):
    own = kind.model_fields.keys() - ev.Event.model_fields.keys() - {"kind", "lost_nodes", "versions"}
    values = {name: _value(name, kind.model_fields[name].annotation) for name in own}
    text = sentence(kind(**CONTEXT, **values))
    assert text.endswith(".")
    assert text[0].isupper()
    assert "None" not in text
    assert "_" not in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 24, [0, 5, 10, 15, 20]), (1.47, 7.9, [2, 4, 6]), (0, 0.3, [0, 0.1, 0.2, 0.3]), (5, 5, [5])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high, 5) == pytest.approx(expected)


def test_amounts_read_well():
    assert [duration(s) for s in (0.0421, 1.234, 12.34, 59.96, 200, 7500)] == [
        "0.042 s",
        "1.23 s",
        "12.3 s",
        "1 min 00 s",
        "3 min 20 s",
        "2 h 05 min",
    ]
    assert [offset(s) for s in (0, 12.7, -8, 3732.7, -0.0001)] == [
        "0:00.000",
        "0:12.700",
        "-0:08.000",
        "1:02:12.700",
        "0:00.000",
    ]
    assert [share(*p) for p in ((1, 3), (0, 3), (1, 9000), (0, 0))] == ["33.3 %", "0.0 %", "< 0.1 %", "0.0 %"]
    assert [size(b) for b in (512, 9_000_000, 999_960, 10**16)] == ["512 B", "9.0 MB", "1.0 MB", "10000.0 TB"]
