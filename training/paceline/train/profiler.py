"""Traces on demand: when somebody asks, rank 0 records its next steps with torch's profiler, for Perfetto or Chrome."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from paceline.spec.manifest import TrainerState
from paceline.spec.profile import PROFILE_DIRECTORY, PROFILE_REQUEST, ProfileRequest
from paceline.train.callbacks import Callback, StepFigures


class Profiler(Callback):
    """Looks before every step for a request in the run's `directory`, and writes `profiles/steps-<first>-<last>.json`.

    A look is one question to the file system. Tracing slows the steps that are traced, on this rank.
    """

    def __init__(self, directory: Path) -> None:
        self._request = directory / PROFILE_REQUEST
        self._traces = directory / PROFILE_DIRECTORY
        self._profile: profile | None = None
        self._first = self._last = 0

    def before_step(self, trainer: TrainerState) -> None:
        if self._profile is not None or not self._request.exists():
            return
        request = ProfileRequest.model_validate_json(self._request.read_bytes())
        self._request.unlink()
        self._first, self._last = trainer.step + 1, trainer.step + request.steps
        devices = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        self._profile = profile(activities=[ProfilerActivity.CPU, *devices])
        self._profile.start()

    def after_step(self, trainer: TrainerState, figures: StepFigures) -> None:
        if trainer.step == self._last:
            self._write(self._last)

    def end(self, trainer: TrainerState) -> None:
        self._write(trainer.step)

    def _write(self, last: int) -> None:
        if self._profile is None:
            return
        self._profile.stop()
        self._traces.mkdir(exist_ok=True)
        path = self._traces / f"steps-{self._first}-{last}.json"
        temporary = path.with_suffix(".part")
        self._profile.export_chrome_trace(str(temporary))
        temporary.replace(path)
        self._profile = None
