from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.data.corpus import Document
from paceline.data.ledger import genesis
from paceline.data.manifest import read_manifest
from paceline.data.prepare import prepare
from paceline.journal.writer import Journal
from paceline.launch.hermetic import read_parts
from paceline.launch.job import JOB_NAME, RunRequest, claim, free_port, render
from paceline.recipe.load import load
from paceline.spec.errors import CheckpointError, DataError, LaunchError, RecipeError, StorageError
from paceline.spec.events import GenerationOpened
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointManifest, TrainerState
from paceline.spec.run import JOURNAL_DIRECTORY, RUN_NAME, RunRecord

Request = Callable[..., RunRequest]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dataset")
    texts = (" ".join(f"word{n % 7}" for n in range(start, start + 200)) for start in range(8))
    documents = [Document(name=f"document {i}", text=text) for i, text in enumerate(texts)]
    prepare(documents, name="test", source="tests", output=output, vocabulary=300)
    return output


@pytest.fixture
def request_for(dataset: Path, tmp_path: Path) -> Request:
    def make(*overrides: str, nodes: int = 2, data: str | None = None, checkpoints: str | None = None) -> RunRequest:
        return RunRequest(
            name="test",
            recipe=load("debug-tiny", overrides),
            dataset=data or str(dataset),
            checkpoints=checkpoints or str(tmp_path / "checkpoints"),
            nodes=nodes,
            spares=1,
        )

    return make


def checkpoint(root: Path, dataset: Path, *, step: int = 4, per_step: int = 8, seed: int = 0) -> None:
    repository = CheckpointRepository(DirectoryStore(root))
    order = genesis(dataset_sha256=read_manifest(DirectoryStore(dataset)).dataset_sha256, seed=seed, sequence_length=64)
    repository.commit(
        CheckpointManifest(
            run="test",
            created=datetime(2026, 11, 21, tzinfo=UTC),
            step=step,
            recipe_sha256="a" * 64,
            image_digest=None,
            data_order=order,
            world_size=1,
            layout={"dp_shard": 1},
            trainer=TrainerState(step=step, tokens=0, next_index=step * per_step, ledger=order),
            files=(repository.put_shard(step, 0, b"x", generation=0),),
        )
    )


def test_everything_that_processes_and_readers_need_is_written(request_for: Request, tmp_path: Path) -> None:
    job = render(request_for(), tmp_path / "run")
    assert JobSpec.model_validate_json((tmp_path / "run" / JOB_NAME).read_text()) == job
    record = RunRecord.model_validate(json.loads((tmp_path / "run" / RUN_NAME).read_text()))
    assert (record.run, record.sequences_per_step, record.sequence_length) == ("test", 8, 64)
    assert (job.world_size, job.first_generation, job.vocabulary <= 300) == (2, 0, True)


def test_ranks_that_cannot_share_the_batch_are_refused(request_for: Request, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        render(request_for(nodes=3), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_dataset_is_refused(request_for: Request, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset here"):
        render(request_for(data=str(tmp_path / "nowhere")), tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "per_step", "seed"),
    [(("data.seed=1",), 8, 0), (("batch.tokens=1024",), 8, 0), ((), 16, 0), ((), 8, 5)],
    ids=["another order", "a larger batch", "a smaller batch", "another dataset's genesis"],
)
def test_a_checkpoint_of_other_data_or_another_batch_is_not_continued(
    request_for: Request, tmp_path: Path, dataset: Path, overrides: tuple[str, ...], per_step: int, seed: int
) -> None:
    checkpoint(tmp_path / "checkpoints", dataset, per_step=per_step, seed=seed)
    with pytest.raises(LaunchError, match="step-00000004: was trained on other data") as caught:
        render(request_for(*overrides), tmp_path / "run")
    assert caught.value.problems[0].hint
    assert not (tmp_path / "run" / JOB_NAME).exists()


def test_its_own_checkpoint_is_continued_and_a_damaged_manifest_is_left_to_the_coordinator(
    request_for: Request, tmp_path: Path, dataset: Path
) -> None:
    checkpoint(tmp_path / "checkpoints", dataset)
    render(request_for("schedule.steps=20"), tmp_path / "run")
    (tmp_path / "checkpoints" / "step-00000004" / "manifest.json").write_text("{")
    render(request_for(), tmp_path / "run")


def test_generations_go_on_above_those_of_earlier_parts(request_for: Request, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run" / JOURNAL_DIRECTORY, run="test", producer="coordinator")
    journal.generation = 3
    journal.emit(GenerationOpened, ranks={"a": 0}, world_size=1, cause="start", restore_from="nothing", restore_step=0)
    assert render(request_for(), tmp_path / "run").first_generation == 4


def test_a_directory_that_cannot_be_written_is_a_clear_error(request_for: Request, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchError, match="the run cannot be written there: Not a directory") as caught:
        render(request_for(), tmp_path / "file" / "run")
    assert caught.value.problems[0].hint


def test_a_directory_in_which_a_run_is_under_way_is_refused(request_for: Request, tmp_path: Path) -> None:
    render(request_for(), tmp_path / "run")
    held = claim(tmp_path / "run")
    before = (tmp_path / "run" / JOB_NAME).read_bytes()
    with pytest.raises(LaunchError, match="a run is under way in it"):
        render(request_for(), tmp_path / "run")
    assert (tmp_path / "run" / JOB_NAME).read_bytes() == before
    os.close(held)
    render(request_for(), tmp_path / "run")


def test_a_bucket_that_cannot_be_reached_is_a_clear_error(
    request_for: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's pause between two attempts
    with pytest.raises(StorageError, match="s3://saved.*Could not connect"):
        render(request_for(checkpoints="s3://saved/run"), tmp_path / "run")


def test_a_model_that_does_not_exist_is_told_before_anything_starts(request_for: Request, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="llama has no preset `debgu`"):
        render(request_for("model.preset=debgu"), tmp_path / "run")
    with pytest.raises(CheckpointError, match="model.weights: no checkpoint here"):
        render(request_for(f"model.weights={tmp_path}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_processes_know_the_model_for_their_manifests(request_for: Request, tmp_path: Path) -> None:
    job = render(request_for("model.family=qwen3"), tmp_path / "run")
    assert job.model is not None
    assert (job.model["architectures"], job.model["vocab_size"]) == (["Qwen3ForCausalLM"], job.vocabulary)


def test_a_run_may_shrink_to_legal_numbers_of_nodes_down_to_half_or_to_what_is_asked(
    request_for: Request, tmp_path: Path
) -> None:
    """8 sequences in passes of 1 or 2: 4 nodes can share them, 3 cannot."""
    assert render(request_for(nodes=4), tmp_path / "half").fewer_nodes == (2,)
    asked = replace(request_for(nodes=4), min_nodes=1)
    assert render(asked, tmp_path / "one").sizes == (4, 2, 1)
    assert render(replace(asked, min_nodes=4), tmp_path / "none").fewer_nodes == ()


def test_each_part_of_a_run_has_its_hermetic_manifest(
    request_for: Request, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACELINE_IMAGE_DIGEST", "sha256:abc")
    monkeypatch.setenv("NCCL_ALGO", "Ring")
    job = render(request_for(), tmp_path / "run")
    journal = Journal(Path(job.journal), run="test", producer="coordinator")
    journal.generation = 4
    journal.emit(
        GenerationOpened, ranks={"node-0": 0}, world_size=1, cause="start", restore_from="nothing", restore_step=0
    )
    journal.close()
    again = render(request_for("seed=3"), tmp_path / "run")
    parts = read_parts(tmp_path / "run")
    assert [part.job.model_dump(mode="json") for part in parts] == [
        each.model_dump(mode="json") for each in (job, again)
    ]
    assert [part.job.first_generation for part in parts] == [0, 5]
    manifest = read_manifest(DirectoryStore(dataset))
    assert parts[0].dataset_sha256 == manifest.dataset_sha256
    assert [file.sha256 for file in parts[0].dataset_files] == [file.sha256 for file in manifest.files]
    assert parts[0].job.image_digest == "sha256:abc"
    assert parts[0].surroundings.environment["NCCL_ALGO"] == "Ring"


def test_graphs_lie_beside_the_checkpoints_or_where_they_are_wanted(request_for: Request, tmp_path: Path) -> None:
    neuron = ("accelerator=trainium", "compute.attention=sdpa")
    request = request_for(*neuron, checkpoints="file:///checkpoints/")
    assert render(request, tmp_path / "a").graphs == "file:///checkpoints-graphs"
    assert render(replace(request, graphs="s3://team/graphs"), tmp_path / "b").graphs == "s3://team/graphs"


def test_a_recipe_that_compiles_nothing_ahead_has_no_place_for_graphs(request_for: Request, tmp_path: Path) -> None:
    assert render(request_for(), tmp_path / "a").graphs is None
    with pytest.raises(LaunchError, match="--graphs s3://team/graphs: this recipe compiles nothing ahead"):
        render(replace(request_for(), graphs="s3://team/graphs"), tmp_path / "a")


def test_only_spares_are_lent(request_for: Request, tmp_path: Path) -> None:
    lent = replace(request_for(), lend=("python", "-m", "http.server"))
    assert render(lent, tmp_path / "run").lend == ("python", "-m", "http.server")
    with pytest.raises(LaunchError, match="--lend python -m http.server: this run has no spare to lend"):
        render(replace(lent, spares=0), tmp_path / "without")
