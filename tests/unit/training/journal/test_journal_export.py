"""Metrics and trackers out of a run's events."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paceline.journal.export import METRICS_NAME, Exporter
from paceline.journal.metrics import RunMetrics
from paceline.journal.trackers.registry import TRACKERS, create
from paceline.spec import events as ev
from paceline.spec.errors import LaunchError
from paceline.spec.metrics import METRICS

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(kind: type[ev.Event], later: float = 0.0, **fields: Any) -> Any:
    given = {"run": 'a"b', "producer": "p", "monotonic_ns": 0} | fields
    return kind(time=START + timedelta(seconds=later), **given)


def step(number: int, rank: int = 0, **fields: Any) -> Any:
    given = {"loss": 2.0, "tokens": 100, "learning_rate": 0.1, "gradient_norm": 1.0} | fields
    times = {"seconds": 0.5, "data_seconds": 0.1, "checkpoint_seconds": 0.2}
    return event(ev.StepFinished, float(number), step=number, rank=rank, **times, **given)


def member(node: str, state: str) -> Any:
    return event(ev.MembershipChanged, node=node, state=state, reason="r")


STARTED = event(
    ev.RunStarted,
    recipe="r",
    recipe_sha256="0" * 64,
    nodes=1,
    spares=1,
    world_size=1,
    total_steps=9,
    tokens_per_step=100,
    seed=0,
    dataset="d",
)


def values(text: str) -> dict[str, float]:
    rows = [line.split(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name.partition("{")[0]: float(value) for name, value in rows}


def test_what_the_events_say() -> None:
    metrics = RunMetrics()
    for one in (
        STARTED,
        member("n0", "active"),
        member("n1", "spare"),
        step(1),
        step(1, rank=1, loss=None),
        step(2, loss=1.5, mfu=0.4, memory_bytes=7),
        member("n0", "lost"),
        member("n0", "lost"),
        step(2),
        event(ev.CheckpointCommitted, 9.0, step=2, uri="u", files=1, bytes=1),
        event(ev.CheckpointFailed, step=3, uri="u", reason="r"),
        event(ev.EvaluationFinished, step=2, loss=3.0, tokens=1, bits_per_byte=1.1),
        event(ev.CompileMissed, step=2, module="MODULE_1+2"),
    ):
        metrics.observe(one)
    assert values(metrics.text()) == {
        "paceline_run_running": 1,
        "paceline_spare_nodes_wanted": 1,
        "paceline_spare_nodes": 1,
        "paceline_nodes_lost_total": 1,
        "paceline_checkpoint_failures_total": 1,
        "paceline_graphs_missed_total": 1,
        "paceline_steps_total": 2,
        "paceline_tokens_total": 300,
        "paceline_step_seconds": 0.5,
        "paceline_tokens_per_second": 200,
        "paceline_last_step_timestamp_seconds": START.timestamp() + 2,
        "paceline_last_checkpoint_timestamp_seconds": START.timestamp() + 9,
        "paceline_learning_rate": 0.1,
        "paceline_data_wait_seconds": 0.1,
        "paceline_checkpoint_wait_seconds": 0.2,
        "paceline_loss": 2.0,
        "paceline_gradient_norm": 1.0,
        "paceline_mfu_ratio": 0.4,
        "paceline_memory_peak_bytes": 7,
        "paceline_held_out_loss": 3.0,
        "paceline_bits_per_byte": 1.1,
    }
    metrics.observe(event(ev.RunFinished, 10.0, outcome="completed", step=2))
    ended = values(metrics.text())
    assert ended["paceline_run_running"] == 0
    assert ended["paceline_goodput_ratio"] == 0  # no generation was opened


def test_the_text_is_prometheus() -> None:
    metrics = RunMetrics()
    metrics.observe(step(1))
    lines = metrics.text().splitlines()
    assert lines[0] == f"# HELP paceline_steps_total {METRICS['paceline_steps_total'].help}"
    assert lines[1] == "# TYPE paceline_steps_total counter"
    assert lines[2] == r'paceline_steps_total{run="a\"b"} 1'


class Diary:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        self.calls.append(("start", run, dict(config)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        more = {name: value for name, value in values.items() if name in ("accuracy/everyday", "reward_margin")}
        self.calls.append(("scalars", step, values.get("loss"), more))

    def text(self, step: int, message: str) -> None:
        self.calls.append(("text", step, message))

    def artifact(self, path: Path) -> None:
        self.calls.append(("artifact", path.name))

    def finish(self) -> None:
        self.calls.append(("finish",))


def test_trackers_hear_every_step_once_and_what_happened(tmp_path: Path) -> None:
    diary = Diary()
    exporter = Exporter(tmp_path, [diary], run="r", config={"seed": 1})
    score = ev.TaskScore(questions=1, accuracy=0.75, accuracy_by_bytes=0.5)
    fault = event(ev.FaultDetected, fault="node_lost", target="n0", evidence="silence")
    evaluated = event(ev.EvaluationFinished, step=2, loss=3.0, tokens=1, tasks={"everyday": score})
    last = step(3, loss=1.0, metrics={"reward_margin": 0.25})
    for one in (STARTED, step(1), step(2, loss=1.5), evaluated, fault, step(2, loss=1.5), last):
        exporter.observe(one)
    exporter.close()
    told = [call for call in diary.calls if call[0] != "text"]
    assert told == [
        ("start", "r", {"seed": 1}),
        ("scalars", 1, 2.0, {}),
        ("scalars", 2, 1.5, {}),
        ("scalars", 2, 1.5, {"accuracy/everyday": 0.75}),
        ("scalars", 3, 1.0, {"reward_margin": 0.25}),
        ("artifact", METRICS_NAME),
        ("finish",),
    ]
    assert [call[1] for call in diary.calls if call[0] == "text"] == [2]
    assert values((tmp_path / METRICS_NAME).read_text())["paceline_loss"] == 1.0


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_tracker_without_its_library_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LaunchError, match=f"--track {name}") as caught:
        create(name)
    assert f"pip install {name}" in str(caught.value.problems[0].hint)


def test_an_unknown_tracker_is_answered_with_the_nearest() -> None:
    with pytest.raises(LaunchError) as caught:
        create("tensorbord")
    assert caught.value.problems[0].hint == "did you mean `tensorboard`?"


def test_mlflow_is_called_by_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[str, Any]] = []
    module = types.ModuleType("mlflow")
    for name in ("start_run", "log_text", "log_metrics", "log_artifact", "end_run"):
        setattr(module, name, lambda *args, _name=name, **more: calls.append((_name, args or more)))
    monkeypatch.setitem(sys.modules, "mlflow", module)
    tracker = create("mlflow")
    tracker.start("r", {}, tmp_path)
    tracker.scalars(3, {"loss": 1.0})
    tracker.artifact(tmp_path / "f")
    tracker.finish()
    assert [name for name, _ in calls] == ["start_run", "log_text", "log_metrics", "log_artifact", "end_run"]


def test_tensorboard_can_be_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the tracker's library is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = create("tensorboard")
    tracker.start("r", {"seed": 1}, tmp_path)
    tracker.scalars(3, {"loss": 1.5})
    tracker.text(3, "a fault")
    tracker.finish()
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(s.step, s.value) for s in read.Scalars("loss")] == [(3, 1.5)]
    assert [t.tensor_proto.string_val for t in read.Tensors("journal")][-1] == [b"a fault"]
