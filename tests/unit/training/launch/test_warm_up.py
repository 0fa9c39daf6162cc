"""The warm-up before a run: the same options as the run, and nothing of the run's written; with a stand-in compiler."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from paceline.graphs.cache import modules
from paceline.journal.reader import read
from paceline.launch import warm_up
from paceline.launch.job import JOB_NAME
from paceline.launch.local.run import LocalRun
from paceline.launch.slurm.batch import Batch
from paceline.launch.warm_up import Command, command, compile_ahead
from paceline.spec.errors import GraphError
from paceline.spec.events import GraphsCompiled
from paceline.spec.job import JobSpec
from tests.neuron.compiler import MODULES, VERSION, compiled

MakeJob = Callable[..., JobSpec]


@pytest.fixture
def job(make_neuron_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    monkeypatch.setattr(warm_up, "installed", lambda: {"neuronx-cc": VERSION})
    return make_neuron_job(graphs=str(tmp_path / "kept"), journal=str(tmp_path / "journal"), nodes=2)


class Nodes:
    """Starts nothing that lasts: each node is a shell line, after `meanwhile` has happened."""

    def __init__(self, line: str = "exit 0", meanwhile: Callable[[Command], object] = lambda command: None) -> None:
        self.line, self.meanwhile = line, meanwhile
        self.started: list[Command] = []
        self.said: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, wanted: Command) -> list[subprocess.Popen[bytes]]:
        self.started.append(wanted)
        self.meanwhile(wanted)
        self.processes = [subprocess.Popen(["sh", "-c", self.line], start_new_session=True) for _ in range(2)]
        return self.processes

    def warm(self, job: JobSpec, directory: Path, *, stopping: bool = False) -> bool:
        return compile_ahead(
            job, directory, variable="NODE", start=self.start, stopping=lambda: stopping, say=self.said.append
        )


def fill(wanted: Command) -> None:
    for module in MODULES:
        compiled(Path(wanted.environment["NEURON_COMPILE_CACHE_URL"]), module)


def test_the_command_is_the_run_under_the_tool_with_its_options(job: JobSpec) -> None:
    wanted = command(job, Path("/fsx/run"), Path("/fsx/run/graphs/1"), port=9, variable="SLURM_NODEID")

    tool, _, *module = wanted.arguments
    assert tool == "neuron_parallel_compile"
    assert module == ["-m", "paceline.launch.trial", f"/fsx/run/{JOB_NAME}", "127.0.0.1", "9", "SLURM_NODEID"]
    assert wanted.environment == {**job.environment, "NEURON_COMPILE_CACHE_URL": "/fsx/run/graphs/1"}
    assert "--model-type transformer" in wanted.environment["NEURON_CC_FLAGS"]


def test_graphs_are_compiled_kept_and_told(job: JobSpec, tmp_path: Path) -> None:
    nodes = Nodes(meanwhile=fill)
    assert nodes.warm(job, tmp_path)

    [event] = read(Path(job.journal)).events
    assert isinstance(event, GraphsCompiled)
    assert (event.producer, event.graphs) == ("launcher", len(MODULES))
    assert set(modules(Path(event.uri.removeprefix("file://")))) == set(MODULES)
    assert event.uri in nodes.said[0]


def test_graphs_that_are_there_are_not_compiled_again(job: JobSpec, tmp_path: Path) -> None:
    Nodes(meanwhile=fill).warm(job, tmp_path)
    another = Nodes()
    assert another.warm(job.model_copy(update={"run": "another"}), tmp_path / "elsewhere")
    assert (another.started, another.said) == ([], [])


def test_a_run_that_wants_none_compiles_none(job: JobSpec, tmp_path: Path) -> None:
    nodes = Nodes()
    assert nodes.warm(job.model_copy(update={"graphs": None}), tmp_path)
    assert nodes.started == []


def test_one_node_that_fails_ends_the_others_and_the_warm_up(job: JobSpec, tmp_path: Path) -> None:
    nodes = Nodes(line='test "$(echo $$)" -gt 0 && exit 3', meanwhile=fill)
    with pytest.raises(GraphError, match="run test: the warm-up of its graphs ended with code 3"):
        nodes.warm(job, tmp_path)
    assert not (tmp_path / "kept").exists()


def test_a_stop_leaves_no_process_and_no_artefact(job: JobSpec, tmp_path: Path) -> None:
    nodes = Nodes(line="exec sleep 60", meanwhile=fill)
    assert not nodes.warm(job, tmp_path, stopping=True)
    assert [process.poll() for process in nodes.processes] == [-9, -9]
    assert not (tmp_path / "kept").exists()


def test_locks_of_an_earlier_warm_up_are_cleared(job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(warm_up.subprocess, "run", lambda command, **_: asked.append(command))
    Nodes(line="exec sleep 60").warm(job, tmp_path, stopping=True)
    assert asked == []
    Nodes(meanwhile=fill).warm(job, tmp_path)
    assert asked == [["neuron_parallel_compile", "--command", "clear-locks"]]


def test_without_the_tool_it_says_so(job: JobSpec, tmp_path: Path) -> None:
    def start(wanted: Command) -> list[subprocess.Popen[bytes]]:
        return [subprocess.Popen(wanted.arguments, env={"PATH": str(tmp_path)})]

    with pytest.raises(GraphError) as refused:
        compile_ahead(job, tmp_path, variable="NODE", start=start, stopping=lambda: False, say=lambda text: None)
    assert str(refused.value) == "platform.compile_ahead: there is no neuron_parallel_compile"


def test_a_local_run_warms_up_each_node_before_its_coordinator(
    job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def popen(command: tuple[str, ...], *, env: dict[str, str], **_: object) -> subprocess.Popen[bytes]:
        seen.append((command[0], env["PACELINE_NODE_NUMBER"]))
        fill(Command(arguments=command, environment=env))
        return began(["true"], start_new_session=True)

    began = subprocess.Popen
    monkeypatch.setattr("paceline.launch.local.run.subprocess.Popen", popen)
    local = LocalRun(job, tmp_path, os.environ)
    started: list[str] = []
    monkeypatch.setattr(
        local, "_coordinator", SimpleNamespace(start=lambda: started.append("coordinator"), process=None)
    )
    monkeypatch.setattr(local, "start_node", lambda name: started.append(f"{name} after {len(seen)}"))
    with local:
        pass
    assert seen == [("neuron_parallel_compile", "0"), ("neuron_parallel_compile", "1")]
    assert started == ["coordinator", "node-0 after 2", "node-1 after 2"]


@pytest.fixture
def batch(job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """On the first of three nodes, of which two train."""
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "trn-[1-3]", "SLURMD_NODENAME": "trn-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("paceline.launch.slurm.batch.address_towards", lambda host: "10.0.0.1")
    (tmp_path / JOB_NAME).write_text(job.model_dump_json(), encoding="utf-8")
    requeued: list[int] = []
    names = ["trn-1", "trn-2", "trn-3"]
    slurm = SimpleNamespace(host_names=lambda nodes: names, requeue=requeued.append, requeued=requeued)
    return Batch(tmp_path, slurm)  # type: ignore[arg-type]


def test_a_job_on_slurm_warms_up_by_one_srun(batch: Batch, job: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def popen(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.Popen[bytes]:
        seen.append((command, env))
        fill(Command(arguments=(), environment=env))
        return began(["true"], start_new_session=True)

    began = subprocess.Popen
    monkeypatch.setattr("paceline.launch.slurm.batch.subprocess.Popen", popen)
    assert batch._compile_ahead()
    [(command, environment)] = seen
    assert command[0] == "srun" and "--nodes=2" in command and "--ntasks=2" in command
    assert command[command.index("neuron_parallel_compile") :][-3:-2] == ["10.0.0.1"]
    assert command[-1] == "SLURM_NODEID"
    assert environment["NEURON_LOGICAL_NC_CONFIG"] == job.environment["NEURON_LOGICAL_NC_CONFIG"]


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, [7]), (signal.SIGTERM, [])])
def test_a_job_that_ends_in_its_warm_up_begins_again_only_before_its_time_limit(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, number: int, requeued: list[int]
) -> None:
    began = subprocess.Popen
    sleeper: list[subprocess.Popen[bytes]] = []

    def popen(command: list[str], **_: object) -> subprocess.Popen[bytes]:
        batch._stop(number, None)  # as soon as it has begun
        sleeper.append(began(["sleep", "60"], start_new_session=True))
        return sleeper[0]

    monkeypatch.setattr("paceline.launch.slurm.batch.subprocess.Popen", popen)
    monkeypatch.setattr("paceline.launch.slurm.batch.signal.signal", lambda *_: None)
    assert batch.run() == 0
    assert batch._slurm.requeued == requeued  # type: ignore[attr-defined]
    assert [process.poll() for process in sleeper] == [-signal.SIGKILL]
