"""Faults on a real Slurm cluster: the run goes on, on spares of its own allocation, and Slurm requeues nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.spec.events import RunFinished
from tests.slurm.cluster import Cluster
from tests.slurm.run import PACELINE, Run, ours
from tests.slurm.watched import Watched, fill_the_disk, plant

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

# all standbys are warm then
_WARM_STEPS = 40
_GPUS = "p5.48xlarge"
_POLICY = Path(__file__).parent / "policy.yaml"


Start = Callable[..., Run]
Tell = Callable[[str, float], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Say how long something took, on the terminal and in the report."""

    def say(what: str, seconds: float) -> None:
        record_property(f"{what}, s", round(seconds, 2))
        sys.stderr.write(f"\n{what}: {seconds:.1f} s\n")

    return say


def heal(cluster: Cluster, directory: Path) -> None:
    """Start the healer, with the policy of a team."""
    where = ["controller", "--fleet", "slurm", "--provider", "none", "--period", "1", "--metrics-port", "0"]
    whereto = ["--evidence", str(directory), "--journal", str(directory / "healer")]
    cluster.start("controller", *PACELINE, *where, *whereto, "--policy", str(_POLICY), **ours())


def evidence(directory: Path) -> str:
    """All that the healer has kept."""
    return "".join(path.read_text() for path in directory.glob("evidence/*/incident.json"))


def history(cluster: Cluster, directory: Path, node: str) -> list[str]:
    """What `paceline heal history` tells of a node, without times."""
    told = cluster.run(*PACELINE, "heal", "history", node, "--journal", str(directory / "healer"))
    return [line.split(maxsplit=3)[3] for line in told.splitlines()[1:]]


def test_three_faults_cost_three_spares_and_no_requeue(
    cluster: Cluster, start: Start, tmp_path: Path, tell: Tell
) -> None:
    run = start(2, 3)
    run.trains(_WARM_STEPS)

    sick = run.victim
    watched = Watched(cluster, sick, tmp_path / "host", _GPUS)
    since = watched.lose_a_gpu()
    tell("XID 79 to the next new step", run.seconds_to_next_step(1, since))
    assert sick not in run.generation.ranks and run.generation.restore_from == "memory"
    cluster.until(lambda: cluster.states()[sick] in ("drng", "drain"), f"{sick} was not drained")

    run.trains(_WARM_STEPS, 1)
    dead, since = run.victim, time.time()
    cluster.kill(dead)
    tell("a node's death to the next new step", run.seconds_to_next_step(2, since))
    assert dead not in run.generation.ranks and run.generation.restore_from == "memory"

    run.trains(_WARM_STEPS, 2)
    lonely, since = run.victim, time.time()
    cluster.cut(lonely)
    tell("a cut cable to the next new step", run.seconds_to_next_step(3, since))
    assert lonely not in run.generation.ranks and run.generation.restore_from == "memory"

    assert cluster.job_state(run.job) == "RUNNING"
    # Slurm takes the lost nodes from the job, and the job stays
    cluster.until(lambda: cluster.states()[lonely].startswith("down"), "Slurm has not noticed the cut cable")
    run.trains(_WARM_STEPS, 3)
    assert cluster.job_state(run.job) == "RUNNING"
    assert run.requeued == 0


def test_a_full_disk_costs_a_spare_and_the_node_comes_back_when_it_is_proven(
    cluster: Cluster, start: Start, tmp_path: Path, tell: Tell
) -> None:
    heal(cluster, tmp_path)
    run = start(2, 1)
    run.trains(_WARM_STEPS)
    sick = run.victim
    for partner in set(cluster.nodes) - {sick}:
        Watched(cluster, partner, tmp_path / "host")

    fill_the_disk(cluster, sick)
    watched = Watched(cluster, sick, tmp_path / "host")
    since = watched.finds("host.disk_full")
    tell(
        "a full disk, once the agent has seen it, to the next new step",
        run.seconds_to_next_step(1, since),
    )
    assert sick not in run.generation.ranks and run.generation.restore_from == "memory"
    assert "host.disk_full" in evidence(tmp_path)

    run.trains(_WARM_STEPS, 1)
    assert (cluster.job_state(run.job), run.requeued) == ("RUNNING", 0)

    run.end()  # the tests of the node have this machine for themselves
    cluster.reboots(sick)
    watched.begin()
    cluster.until(lambda: cluster.states()[sick] == "idle", f"{sick} was not given back", 240)
    tell("a full disk to the node's return, reboot and tests included", time.time() - since)
    steps = history(cluster, tmp_path, sick)
    assert steps[0].startswith("Fault detected: host.disk full: ")
    assert steps[2].startswith("Out of service; evidence is in file://")
    assert steps[5].startswith("The pair test, with node")
    assert [steps[1], *steps[3:5], steps[6]] == [
        "Decided to reboot: host.disk_full: the team's policy calls for reboot.",
        "Began to reboot.",
        "The single test, alone.",
        "It passed its tests and is back in service.",
    ]


def test_a_health_check_that_hangs_moves_nothing_and_delays_no_fault(
    cluster: Cluster, start: Start, tmp_path: Path, tell: Tell
) -> None:
    heal(cluster, tmp_path)
    run = start(2, 1)
    run.trains(_WARM_STEPS)

    sick = run.victim
    plant(cluster, sick, "hang")
    watched = Watched(cluster, sick, tmp_path / "host", _GPUS)
    comment = lambda: cluster.show("node", sick)["nodes"][0]["comment"]  # noqa: E731
    cluster.until(lambda: "nvidia-smi: no answer within 20 s" in comment(), "the agent does not say that it hangs")
    assert cluster.states()[sick] == "alloc"
    assert run.generation.generation == 0

    since = watched.lose_a_gpu()
    tell(
        "XID 79 beside a health check that hangs, to the next new step",
        run.seconds_to_next_step(1, since),
    )
    assert sick not in run.generation.ranks and run.generation.restore_from == "memory"
    cluster.until(lambda: "nvidia.xid.79" in evidence(tmp_path), "no evidence is kept")
    cluster.until(lambda: cluster.states()[sick].startswith(("down", "boot")), f"{sick} was not taken out")
    assert (cluster.job_state(run.job), run.requeued) == ("RUNNING", 0)


def test_without_a_spare_the_healer_takes_the_node_and_the_job_is_requeued(
    cluster: Cluster, start: Start, tmp_path: Path, tell: Tell
) -> None:
    heal(cluster, tmp_path)
    run = start(2, 0, "--min-nodes", "2")
    run.trains(10)

    sick = run.victim
    watched = Watched(cluster, sick, tmp_path / "host", _GPUS)
    since = watched.lose_a_gpu()
    tell(
        "XID 79 without a spare, requeue included, to the next new step",
        run.seconds_to_next_step(1, since),
    )
    assert sick not in run.generation.ranks and run.generation.restore_from == "manifest"
    assert (cluster.job_state(run.job), run.requeued) == ("RUNNING", 1)
    assert "nvidia.xid.79" in evidence(tmp_path)


def test_the_loss_of_the_first_node_is_a_requeue(cluster: Cluster, start: Start, tell: Tell) -> None:
    run = start(2, 1)
    run.trains(10)

    first, since = cluster.show("job", str(run.job))["jobs"][0]["batch_host"], time.time()
    cluster.kill(first)
    tell("the first node's death, requeue included, to the next new step", run.resumes(since))
    assert first not in run.generation.ranks and run.generation.restore_from == "manifest"
    assert run.requeued == 1


def test_before_its_time_is_over_a_run_saves_itself_and_is_requeued(cluster: Cluster, start: Start) -> None:
    run = start(2, 0)
    run.trains(3)

    cluster.run("scancel", "--batch", "--signal=USR1", str(run.job))  # as Slurm does, by the script's --signal
    run.resumes(time.time())
    [stopped] = run.of(RunFinished)
    assert stopped.outcome == "stopped" and run.generation.restore_step == stopped.step

    cluster.run("scancel", "--batch", "--signal=TERM", str(run.job))  # as a person does, by the command's advice
    run.poll_until(lambda: run.process.poll() is not None, "the run does not end")
    assert run.process.returncode == 0 and "stopped at step" in run.said
    assert cluster.job_state(run.job) == "COMPLETED"
