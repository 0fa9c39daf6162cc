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

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

_XID = "3,2,90000000000,-;NVRM: Xid (PCI:0000:86:00): 79, pid=7, name=train, GPU has fallen off the bus.\n"
# all standbys are warm then
_WARM_STEPS = 40


class Watched:
    """A node with a health agent, whose kernel log the test writes."""

    def __init__(self, cluster: Cluster, node: str, directory: Path) -> None:
        self._root = directory / node
        files = {"proc/uptime": "90000.00 1.00", "proc/mounts": "", "proc/meminfo": "", "dev/kmsg": "6,1,100,-;Linux\n"}
        for path, text in files.items():
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
            (self._root / path).write_text(text)
        what = ["agent", "--root", str(self._root), "--node", node, "--instance-type", "p5.48xlarge"]
        whom = ["--publish", "slurm", "--supervisors", "/run/paceline", "--listen", "127.0.0.1:0"]
        cluster.start(f"agent-{node}", *PACELINE, *what, *whom, node=node, **ours())
        cluster.until(lambda: "gpu-xid" in cluster.log(f"agent-{node}"), "the agent has not begun")

    def lose_a_gpu(self) -> float:
        """The time at which the kernel reports XID 79."""
        with (self._root / "dev" / "kmsg").open("a") as log:
            log.write(_XID)
        return time.time()


def victim(run: Run) -> str:
    """A node that trains, and not the first: the coordinator is there."""
    [node] = [node for node, rank in run.generation.ranks.items() if rank == 1]
    return node


def tell(record_property: Callable[[str, object], None], what: str, seconds: float) -> None:
    record_property(f"{what}, s", round(seconds, 2))
    sys.stderr.write(f"\n{what}: {seconds:.1f} s\n")


def test_three_faults_cost_three_spares_and_no_requeue(
    cluster: Cluster,
    start: Callable[..., Run],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    run = start(2, 3)
    run.trains(_WARM_STEPS)

    sick = victim(run)
    watched = Watched(cluster, sick, tmp_path / "host")
    since = watched.lose_a_gpu()
    tell(record_property, "XID 79 to the next new step", run.seconds_to_next_step(1, since))
    assert sick not in run.generation.ranks and run.generation.restore_from == "memory"
    cluster.until(lambda: cluster.states()[sick] in ("drng", "drain"), f"{sick} was not drained")

    run.trains(_WARM_STEPS, 1)
    dead, since = victim(run), time.time()
    cluster.kill(dead)
    tell(record_property, "a node's death to the next new step", run.seconds_to_next_step(2, since))
    assert dead not in run.generation.ranks and run.generation.restore_from == "memory"

    run.trains(_WARM_STEPS, 2)
    lonely, since = victim(run), time.time()
    cluster.cut(lonely)
    tell(record_property, "a cut cable to the next new step", run.seconds_to_next_step(3, since))
    assert lonely not in run.generation.ranks and run.generation.restore_from == "memory"

    assert cluster.job_state(run.job) == "RUNNING"
    # Slurm takes the lost nodes from the job, and the job stays
    cluster.until(lambda: cluster.states()[lonely].startswith("down"), "Slurm has not noticed the cut cable")
    run.trains(_WARM_STEPS, 3)
    assert cluster.job_state(run.job) == "RUNNING"
    assert cluster.show("job", str(run.job))["jobs"][0]["restart_cnt"] == 0


def test_without_a_spare_the_healer_takes_the_node_and_the_job_is_requeued(
    cluster: Cluster,
    start: Callable[..., Run],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    evidence = tmp_path / "evidence"
    where = ["controller", "--fleet", "slurm", "--provider", "none", "--period", "1", "--metrics-port", "0"]
    whereto = ["--evidence", str(evidence), "--journal", str(tmp_path / "healer")]
    healer = cluster.start("controller", *PACELINE, *where, *whereto, **ours())
    run = start(2, 0, "--min-nodes", "2")
    run.trains(10)

    sick = victim(run)
    watched = Watched(cluster, sick, tmp_path / "host")
    since = watched.lose_a_gpu()
    tell(
        record_property,
        "XID 79 without a spare, requeue included, to the next new step",
        run.seconds_to_next_step(1, since),
    )
    healer.terminate()
    assert sick not in run.generation.ranks and run.generation.restore_from == "manifest"
    job = cluster.show("job", str(run.job))["jobs"][0]
    assert (job["job_state"], job["restart_cnt"]) == (["RUNNING"], 1)
    assert "nvidia.xid.79" in "".join(path.read_text() for path in evidence.rglob("*.json"))


def test_the_loss_of_the_first_node_is_a_requeue(
    cluster: Cluster, start: Callable[..., Run], record_property: Callable[[str, object], None]
) -> None:
    run = start(2, 1)
    run.trains(10)

    first, since = cluster.show("job", str(run.job))["jobs"][0]["batch_host"], time.time()
    cluster.kill(first)
    tell(record_property, "the first node's death, requeue included, to the next new step", run.resumes(since))
    assert first not in run.generation.ranks and run.generation.restore_from == "manifest"
    assert cluster.show("job", str(run.job))["jobs"][0]["restart_cnt"] == 1


def test_before_its_time_is_over_a_run_saves_itself_and_is_requeued(
    cluster: Cluster, start: Callable[..., Run]
) -> None:
    run = start(2, 0)
    run.trains(3)

    cluster.run("scancel", "--batch", "--signal=USR1", str(run.job))  # as Slurm does, by the script's --signal
    run.resumes(time.time())
    [stopped] = run.of(RunFinished)
    assert stopped.outcome == "stopped" and run.generation.restore_step == stopped.step

    cluster.run("scancel", "--batch", "--signal=TERM", str(run.job))  # as a person does, by the command's advice
    run.poll_until(lambda: run.process.poll() is not None, "the run does not end")
    assert run.process.returncode == 0 and "stopped at step" in cluster.log("run")
    assert cluster.job_state(run.job) == "COMPLETED"
