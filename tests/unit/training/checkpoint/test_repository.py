from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.retention import Retention
from paceline.clients.object_store import DirectoryStore
from paceline.spec.errors import CheckpointError
from paceline.spec.manifest import CheckpointManifest, TrainerState

CONTENT = (b"zero" * 50, b"one" * 70)
SPARSE = Retention(newest=2, every_hours=4)


def save(
    repository: CheckpointRepository, step: int, *, hour: int = 0, loss: float | None = None
) -> CheckpointManifest:
    manifest = CheckpointManifest(
        run="test",
        created=datetime(2026, 11, 21, hour, tzinfo=UTC),
        step=step,
        recipe_sha256="a" * 64,
        image_digest=None,
        data_order="b" * 64,
        world_size=2,
        layout={"dp_shard": 2},
        trainer=TrainerState(step=step, tokens=step, next_index=step, ledger="0" * 64, held_out_loss=loss),
        files=tuple(repository.put_shard(step, rank, CONTENT[rank], generation=0) for rank in (0, 1)),
    )
    repository.commit(manifest)
    return manifest


@pytest.fixture
def repository(tmp_path: Path) -> CheckpointRepository:
    return CheckpointRepository(DirectoryStore(tmp_path))


def newest(repository: CheckpointRepository) -> tuple[int | None, list[str]]:
    reasons: list[str] = []
    manifest = repository.newest(lambda step, uri, reason: reasons.append(reason))
    return (manifest.step if manifest else None), reasons


def test_a_committed_checkpoint_verifies(repository: CheckpointRepository) -> None:
    manifest = save(repository, 20)
    assert repository.verify(20) == manifest
    assert newest(repository) == (20, [])


def test_without_a_manifest_there_is_no_checkpoint(repository: CheckpointRepository) -> None:
    save(repository, 20)
    repository.put_shard(40, 0, b"x", generation=0)
    assert repository.steps() == [20]
    with pytest.raises(CheckpointError, match="no manifest"):
        repository.verify(40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_accepted(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever byte of whatever file is altered or cut off: the older checkpoint is taken, and the reason told."""
    repository = CheckpointRepository(DirectoryStore(tmp_path))
    save(repository, 20)
    save(repository, 40)
    victim = data.draw(st.sampled_from(sorted((tmp_path / "step-00000040").iterdir())))
    content = bytearray(victim.read_bytes())
    how = data.draw(st.sampled_from(["flip", "cut", "remove"]))
    if how == "flip" and victim.name != "manifest.json":
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        victim.write_bytes(content)
    elif how == "remove":
        victim.unlink()
    else:
        victim.write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    step, reasons = newest(repository)
    assert step == 20
    assert len(reasons) == (0 if how == "remove" and victim.name == "manifest.json" else 1)


def test_a_manifest_of_another_step_is_refused(repository: CheckpointRepository, tmp_path: Path) -> None:
    save(repository, 20)
    save(repository, 40)
    (tmp_path / "step-00000040" / "manifest.json").write_bytes(
        (tmp_path / "step-00000020" / "manifest.json").read_bytes()
    )
    step, reasons = newest(repository)
    assert step == 20 and "is of step 20" in reasons[0]


def test_a_manifest_that_lacks_a_rank_is_refused(repository: CheckpointRepository, tmp_path: Path) -> None:
    manifest = save(repository, 20)
    (tmp_path / "step-00000020" / "manifest.json").write_text(
        manifest.model_copy(update={"files": manifest.files[:1]}).model_dump_json()
    )
    with pytest.raises(CheckpointError, match=r"files of ranks \[0\] for a world of 2"):
        repository.verify(20)


def test_prune_keeps_the_newest(repository: CheckpointRepository, tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        save(repository, step)
    assert repository.prune(Retention(newest=2), newest=40) == [20, 10]
    assert repository.steps() == [40, 30]
    assert not list(tmp_path.glob("step-00000010/*"))
    assert newest(repository) == (40, [])


def test_prune_keeps_one_of_every_so_many_hours_however_often_it_is_called(repository: CheckpointRepository) -> None:
    for hour in range(12):
        save(repository, 10 * (hour + 1), hour=hour)
        repository.prune(SPARSE, newest=10 * (hour + 1))
    assert repository.steps() == [120, 110, 90, 50, 10]
    assert repository.overtaken(SPARSE, newest=120) == []
    assert repository.overtaken(Retention(newest=2), newest=120) == [90, 50, 10]
    assert repository.steps() == [120, 110, 90, 50, 10]


def test_the_best_by_held_out_loss_stay_beside_the_newest_and_the_milestones(repository: CheckpointRepository) -> None:
    retention = Retention(newest=1, every_hours=8, best=2)
    for hour, loss in enumerate((3.0, 2.0, None, 1.5, 1.5, 4.0, 3.5, None)):
        save(repository, 10 * (hour + 1), hour=hour, loss=loss)
        repository.prune(retention, newest=10 * (hour + 1))
    assert repository.steps() == [80, 50, 40, 10]  # of three that were best at some time, the later of equal ones


def test_what_is_best_but_cannot_be_read_is_not_kept(repository: CheckpointRepository) -> None:
    for step, loss in ((10, 1.0), (20, 2.0), (30, 3.0)):
        save(repository, step, loss=loss)
    repository.store.put("step-00000010/manifest.json", b"{}")
    assert repository.overtaken(Retention(newest=1, best=1), newest=30) == [10]


def test_the_newest_committed_is_found_without_reading_its_files(repository: CheckpointRepository) -> None:
    save(repository, 20)
    save(repository, 40)
    repository.store.put("step-00000040/rank-00000.generation-0000.safetensors", b"damaged")
    repository.store.put("step-00000060/manifest.json", b"{}")
    told: list[int | None] = []
    manifest = repository.newest_committed(lambda step, uri, reason: told.append(step))
    assert manifest is not None and (manifest.step, told) == (40, [60])


def test_prune_does_not_count_damaged_checkpoints_that_the_run_went_back_behind(
    repository: CheckpointRepository, tmp_path: Path
) -> None:
    """Resumed from 20 because 40 is damaged, the run saves 30: that is the one to keep."""
    for step in (20, 40, 30):
        save(repository, step)
    [victim] = (tmp_path / "step-00000040").glob("rank-00001.*")
    victim.write_bytes(b"damaged")
    assert repository.prune(Retention(newest=1), newest=30) == [20]
    assert newest(repository)[0] == 30


def test_prune_removes_what_was_never_committed_and_is_overtaken(repository: CheckpointRepository) -> None:
    repository.put_shard(10, 0, b"x", generation=0)
    save(repository, 20)
    repository.put_shard(30, 0, b"x", generation=0)
    assert repository.prune(Retention(newest=3), newest=20) == [10]
    assert {step for step, _ in repository._files()} == {20, 30}


def test_a_late_upload_of_an_older_generation_cannot_alter_a_committed_checkpoint(
    repository: CheckpointRepository,
) -> None:
    save(repository, 20)
    repository.put_shard(20, 0, b"of a node that was lost and came back", generation=1)
    assert newest(repository) == (20, [])


def test_foreign_files_beside_the_checkpoints_do_no_harm(repository: CheckpointRepository, tmp_path: Path) -> None:
    save(repository, 20)
    (tmp_path / "step-old").mkdir()
    (tmp_path / "step-old" / "manifest.json").write_text("{}")
    assert repository.steps() == [20]
