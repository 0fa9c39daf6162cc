from __future__ import annotations

import io

import pytest
from rich.console import Console

from paceline.journal.lead import lead
from paceline.journal.summary import summary
from paceline.journal.terminal import print_summary
from paceline.spec.events import CheckpointRejected, CheckpointVerified, RunFinished, RunStarted

# what readers of summary.json rely on
PROMISED = {
    "deployed_stacks",
    "train_tokens",
    "unigram_entropy",
    "first_loss",
    "final_loss",
    "fault_step",
    "resumed_step",
    "lost_steps",
    "recovery_seconds",
    "detect_seconds",
    "restored_from",
    "checkpoint_verified",
    "goodput",
    "wall_seconds",
    "seconds_by_class",
}
ABOUT_FAULTS = {"fault_step", "resumed_step", "lost_steps", "recovery_seconds", "detect_seconds", "restored_from"}


def test_a_run_with_a_fault(run_of):
    figures = summary(run_of().read()).model_dump(mode="json")
    assert figures.keys() >= PROMISED
    assert figures["deployed_stacks"] == ["sandbox-Foundation", "sandbox-Storage"]
    assert figures["train_tokens"] == 40 * 4096  # a step that was done twice counts once
    assert figures["unigram_entropy"] == 5.9
    assert figures["first_loss"] == pytest.approx(1.5 + 6.5 * 0.93)
    assert figures["final_loss"] == pytest.approx(1.5 + 6.5 * 0.93**40)
    assert (figures["fault_step"], figures["resumed_step"], figures["lost_steps"]) == (21, 20, 1)
    assert figures["restored_from"] == "memory"
    assert figures["checkpoint_verified"] is True
    assert sum(figures["seconds_by_class"].values()) == pytest.approx(figures["wall_seconds"] * figures["nodes"])


def test_without_a_fault_its_keys_are_null(run_of):
    figures = summary(run_of(faulty=False).read()).model_dump(mode="json")
    assert figures.keys() >= PROMISED
    unknown = {"mfu"}  # a CPU has no peak that the catalog knows
    assert {key for key, value in figures.items() if value is None} == ABOUT_FAULTS | unknown
    assert figures["tokens_per_second"] == pytest.approx(4096 / 0.5, rel=0.2)


def test_a_refused_checkpoint_is_not_verified(run_of):
    script = run_of()
    script.events = [event for event in script.events if not isinstance(event, CheckpointVerified)]
    assert summary(script.read()).checkpoint_verified is None
    script.at(30, CheckpointRejected, step=40, uri="s3://c/40", reason="short file")
    assert summary(script.read()).checkpoint_verified is False


def test_a_journal_that_has_only_begun_has_a_summary(run_of):
    events = run_of().read()
    begun = next(index for index, event in enumerate(events) if isinstance(event, RunStarted))
    figures = summary(events[: begun + 1])
    assert (figures.outcome, figures.steps, figures.wall_seconds, figures.goodput) == ("unfinished", 0, 0, 0)


def test_the_lead_tells_the_fault(run_of):
    text = lead(summary(run_of().read()))
    assert "completed 40 steps" in text
    assert "noticed after 0.20 s" in text
    assert "1.15 s after the blow, from memory; 1 step had to be done again." in text


def test_the_lead_counts_several_faults(run_of):
    figures = summary(run_of().read())
    twice = figures.model_copy(update={"faults": figures.faults * 2})
    assert "2 faults and came back from 2" in lead(twice)


def test_the_lead_does_not_promise_a_recovery_that_was_not(run_of):
    events = [event for event in run_of().read() if getattr(event, "generation", None) != 1]
    assert "did not come back" in lead(summary(events))


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_terminal_shows_every_class_and_fits(run_of, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    figures = summary([e for e in run_of().read() if not isinstance(e, RunFinished)])
    print_summary(figures, Console(file=stream, width=66, no_color=True))
    stream.seek(0)
    text = stream.read()
    assert "\x1b" not in text
    for name, seconds in figures.seconds_by_class.items():
        assert f"{seconds:,.3f} s" in text
        assert name.replace("_", " ") in text
    assert max(map(len, text.splitlines())) <= 66
