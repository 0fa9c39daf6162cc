from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from paceline.checkpoint.retention import Retention
from paceline.spec.manifest import CheckpointFile, CheckpointManifest, TrainerState

FILE = CheckpointFile(name="rank-00000.safetensors", bytes=0, sha256="0" * 64, rank=0)
LOSSES = st.lists(st.none() | st.just(math.nan) | st.integers(1, 9).map(float), max_size=12)


def manifest(step: int, loss: float | None) -> CheckpointManifest:
    return CheckpointManifest(
        run="test",
        created=datetime(2026, 11, 21, tzinfo=UTC) + timedelta(hours=step),
        step=step,
        recipe_sha256=None,
        image_digest=None,
        data_order=None,
        world_size=1,
        layout={},
        trainer=TrainerState(step=step, tokens=0, next_index=0, ledger="0" * 64, held_out_loss=loss),
        files=(FILE,),
    )


@given(losses=LOSSES, best=st.integers(0, 4))
def test_no_state_that_is_given_up_is_better_than_one_that_is_kept(losses: list[float | None], best: int) -> None:
    kept = Retention(newest=1, best=best).spared([manifest(s, loss) for s, loss in enumerate(losses)], below=99)
    known = {step: loss for step, loss in enumerate(losses) if loss is not None and not math.isnan(loss)}
    assert kept <= set(known) and len(kept) == min(best, len(known))
    assert all(known[out] >= known[stays] for out in set(known) - kept for stays in kept)


@given(losses=LOSSES, best=st.integers(1, 4))
def test_what_is_removed_after_each_save_is_what_is_removed_at_the_end(losses: list[float | None], best: int) -> None:
    """The best of a prefix lose their place to better ones only."""
    retention, saved = Retention(newest=1, best=best), [manifest(step, loss) for step, loss in enumerate(losses)]
    there: list[CheckpointManifest] = []
    for each in saved:
        there.append(each)
        spared = retention.spared(there, below=each.step)
        there = [m for m in there if m is each or m.step in spared]
    last = {saved[-1].step} if saved else set()
    assert {m.step for m in there} == retention.spared(saved, below=len(saved)) | last


def test_milestones_are_counted_below_the_newest_only() -> None:
    saved = [manifest(step, None) for step in range(12)]
    assert Retention(newest=2, every_hours=4).spared(saved, below=10) == {0, 4, 8}
    assert Retention(newest=2).spared(saved, below=10) == set()
