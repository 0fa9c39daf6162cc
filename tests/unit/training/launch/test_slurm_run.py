"""A run on Slurm without a Slurm: its script, and how it is followed from where it was submitted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from paceline.clients.slurm import SlurmJob
from paceline.journal.writer import Journal
from paceline.launch.job import JOB_NAME
from paceline.launch.slurm.address import address_towards, interface_of
from paceline.launch.slurm.batch import Batch
from paceline.launch.slurm.script import SCRIPT_NAME, script
from paceline.launch.slurm.submit import SlurmRun
from paceline.spec.errors import LaunchError
from paceline.spec.events import AnyEvent, GenerationOpened, RunFinished
from paceline.spec.job import JobSpec

_GOLDEN = Path(__file__).parent / "job.sbatch"


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    return JobSpec(
        run="speech-7b",
        recipe={},
        recipe_sha256="0",
        nodes=16,
        spares=2,
        dataset="s3://data/tokens",
        data_order="0",
        vocabulary=300,
        checkpoints="s3://checkpoints/speech-7b",
        journal=str(tmp_path / "journal"),
        coordinator_port=1,
    )


class Cluster:
    """Answers with the job's records one after the other; the last one stays. `meanwhile` happens before each."""

    def __init__(self, *answers: tuple[str, str, int]) -> None:
        self.answers = [
            SlurmJob(number=7, state=s, reason=why, nodes=18, hosts="gpu-[1-18]", restarts=n) for s, why, n in answers
        ]
        self.submitted: list[Path] = []
        self.updates: list[dict[str, str]] = []
        self.meanwhile: Iterator[object] = iter(())

    def submit(self, path: Path) -> int:
        self.submitted.append(path)
        return 7

    def job(self, number: int) -> SlurmJob:
        next(self.meanwhile, None)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def update(self, **fields: str) -> None:
        self.updates.append(fields)


def finish(job: JobSpec, outcome: str, reason: str | None = None) -> Iterator[None]:
    """At the second look at the job, its coordinator has said how the run ended."""
    yield
    with closing(Journal(Path(job.journal), run=job.run, producer="coordinator")) as journal:
        journal.emit(RunFinished, outcome=outcome, step=12, reason=reason, hint="more nodes")
    yield


def follow(job: JobSpec, directory: Path, cluster: Cluster) -> tuple[RunFinished, list[AnyEvent], list[str]]:
    events: list[AnyEvent] = []
    said: list[str] = []
    now = iter(range(0, 1000, 3))
    run = SlurmRun(job, directory, cluster, clock=lambda: float(next(now)), sleep=lambda seconds: None)
    return run.follow(events.append, said.append), events, said


def test_the_script_is_the_reviewed_one(job: JobSpec) -> None:
    text = script(job, Path("/fsx/runs/speech-7b")).replace(sys.executable, "/fsx/venv/bin/python")
    assert text == _GOLDEN.read_text(encoding="utf-8")


def test_a_run_is_submitted_and_followed_to_its_end(job: JobSpec, tmp_path: Path) -> None:
    cluster = Cluster(("PENDING", "Resources", 0), ("RUNNING", "None", 0), ("COMPLETED", "None", 0))
    cluster.meanwhile = finish(job, "completed")

    finished, events, said = follow(job, tmp_path, cluster)

    assert (finished.outcome, finished.step, events) == ("completed", 12, [finished])
    assert cluster.submitted == [tmp_path / SCRIPT_NAME]
    assert (tmp_path / SCRIPT_NAME).read_text(encoding="utf-8") == script(job, tmp_path)
    assert said[1:] == [
        "job 7: pending (Resources), 18 nodes",
        "job 7: running, 18 nodes",
        "job 7: completed, 18 nodes",
    ]
    assert "scancel -b -s TERM 7" in said[0]


def test_what_was_told_before_is_not_told_again(job: JobSpec, tmp_path: Path) -> None:
    list(finish(job, "stopped"))
    with pytest.raises(LaunchError, match="job 7 ended as CANCELLED before the run was over"):
        follow(job, tmp_path, Cluster(("CANCELLED", "None", 0)))


def test_a_requeued_job_begins_at_once_and_one_that_a_user_delayed_does_not(job: JobSpec, tmp_path: Path) -> None:
    delayed, requeued = ("PENDING", "BeginTime", 0), ("PENDING", "BeginTime", 1)
    cluster = Cluster(delayed, ("RUNNING", "None", 0), requeued, ("RUNNING", "None", 1), ("COMPLETED", "None", 1))
    cluster.meanwhile = finish(job, "completed")

    _, _, said = follow(job, tmp_path, cluster)

    assert cluster.updates == [{"JobId": "7", "StartTime": "now"}]
    assert said[4] == "job 7: running, 18 nodes, start 2"


def test_a_run_that_failed_says_why(job: JobSpec, tmp_path: Path) -> None:
    cluster = Cluster(("RUNNING", "None", 0), ("FAILED", "NonZeroExitCode", 0))
    cluster.meanwhile = finish(job, "failed", "not enough nodes for 120 s")
    with pytest.raises(LaunchError, match="run speech-7b: not enough nodes for 120 s"):
        follow(job, tmp_path, cluster)


def test_the_address_is_the_one_that_speaks_to_the_other() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None  # TEST-NET-1, RFC 5737: nobody has it


class Allocation:
    """What a batch step asks Slurm."""

    def __init__(self, left: int = 18) -> None:
        self.left = left
        self.requeued: list[int] = []

    def host_names(self, nodes: str) -> list[str]:
        return [f"gpu-{number}" for number in range(1, 19)]

    def job(self, number: int) -> SlurmJob:
        return SlurmJob(number=number, state="RUNNING", reason="None", nodes=self.left, hosts="gpu-[1-18]", restarts=0)

    def requeue(self, number: int) -> None:
        self.requeued.append(number)


@pytest.fixture
def batch(job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Batch, Allocation]]:
    for name, value in {"JOB_ID": "7", "JOB_NODELIST": "gpu-[1-18]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURMD_NODENAME", "gpu-1")
    monkeypatch.setattr("paceline.launch.slurm.batch.address_towards", lambda host: {"gpu-2": "10.0.0.1"}[host])
    (tmp_path / JOB_NAME).write_text(job.model_dump_json(), encoding="utf-8")
    with closing(Journal(tmp_path / "journal", run=job.run, producer="coordinator")) as journal:
        journal.generation = 4
        journal.emit(GenerationOpened, ranks={}, world_size=0, restore_from="nothing", restore_step=0, cause="start")
    slurm = Allocation()
    yield Batch(tmp_path, slurm), slurm


def test_the_job_is_settled_when_there_are_nodes(batch: tuple[Batch, Allocation], tmp_path: Path) -> None:
    settled = json.loads((tmp_path / JOB_NAME).read_text(encoding="utf-8"))
    assert (settled["coordinator_host"], settled["first_generation"]) == ("10.0.0.1", 5)
    assert settled["coordinator_port"] > 1
