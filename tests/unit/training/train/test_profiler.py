"""Traces on demand: a request is taken once, and leaves a trace of as many steps as it asked for."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from paceline.spec.manifest import TrainerState
from paceline.spec.profile import PROFILE_DIRECTORY, PROFILE_REQUEST, ProfileRequest
from paceline.train.callbacks import StepFigures
from paceline.train.profiler import Profiler

FIGURES = StepFigures(loss=1.0, gradient_norm=1.0, learning_rate=0.1, tokens=1, seconds=1.0, data_seconds=0.0)


def run(profiler: Profiler, first: int, last: int) -> None:
    for step in range(first, last + 1):
        before = TrainerState(step=step - 1, tokens=0, next_index=0, ledger="0" * 64)
        profiler.before_step(before)
        torch.ones(8, 8) @ torch.ones(8, 8)
        profiler.after_step(before.model_copy(update={"step": step}), FIGURES)


def test_a_request_is_answered_with_the_next_steps(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path)
    run(profiler, 1, 2)
    assert not (tmp_path / PROFILE_DIRECTORY).exists()
    (tmp_path / PROFILE_REQUEST).write_text(ProfileRequest(steps=2).model_dump_json())
    run(profiler, 3, 6)
    (trace,) = (tmp_path / PROFILE_DIRECTORY).iterdir()
    assert trace.name == "steps-3-4.json"
    names = [event.get("name") for event in json.loads(trace.read_text())["traceEvents"]]
    assert names.count("aten::mm") == 2
    assert not (tmp_path / PROFILE_REQUEST).exists()


def test_a_run_that_ends_leaves_what_it_has_traced(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path)
    (tmp_path / PROFILE_REQUEST).write_text(ProfileRequest(steps=9).model_dump_json())
    run(profiler, 5, 6)
    profiler.end(TrainerState(step=6, tokens=0, next_index=0, ledger="0" * 64))
    assert [path.name for path in (tmp_path / PROFILE_DIRECTORY).iterdir()] == ["steps-5-6.json"]
