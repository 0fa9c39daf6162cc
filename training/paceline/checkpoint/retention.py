"""Which of a run's durable checkpoints stay. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from paceline.spec.manifest import CheckpointManifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """The `newest` stay; of the older ones, one of every `every_hours`; and those `best` by held-out loss."""

    newest: int
    every_hours: float | None = None
    best: int = 0

    @property
    def needs_manifests(self) -> bool:
        """Whether steps alone do not tell what stays."""
        return self.every_hours is not None or self.best > 0

    def spared(self, manifests: Iterable[CheckpointManifest], *, below: int) -> set[int]:
        """The steps that stay for another reason than that they are the newest, which begin at step `below`;
        `manifests` are of all steps, in any order."""
        by_step = sorted(manifests, key=lambda manifest: manifest.step)
        return self._milestones(m for m in by_step if m.step < below) | self._best(by_step)

    def _milestones(self, manifests: Iterable[CheckpointManifest]) -> set[int]:
        """The oldest, and then each that was saved at least `every_hours` after the one before it."""
        if self.every_hours is None:
            return set()
        kept: set[int] = set()
        due: datetime | None = None
        for manifest in manifests:
            if due is None or manifest.created >= due:
                kept.add(manifest.step)
                due = manifest.created + timedelta(hours=self.every_hours)
        return kept

    def _best(self, manifests: Iterable[CheckpointManifest]) -> set[int]:
        """Of equal ones the later. What was not evaluated, or diverged, is not among them."""
        losses = [(m.trainer.held_out_loss, -m.step) for m in manifests]
        ranked = sorted((loss, step) for loss, step in losses if loss is not None and math.isfinite(loss))
        return {-step for _, step in ranked[: self.best]}
