"""Accounts, QOS and shares as a team's file describes them, on a real slurmdbd and slurmctld."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from paceline.spec.events import RunFinished
from paceline_constructs.slurm.accounts import Account, account_commands
from tests.slurm.cluster import Cluster
from tests.slurm.run import Run

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

_PRODUCTS = Account(people=("root",), nodes=0, weight=1)


def load(cluster: Cluster, accounts: dict[str, Account]) -> None:
    cluster.run("sh", "-c", account_commands("paceline", accounts))


def shown(cluster: Cluster, *what: str) -> list[str]:
    """Rows of the accounting database, their columns between bars."""
    return sorted(cluster.run("sacctmgr", "--noheader", "--parsable2", "show", *what).split())


def test_accounts_become_what_the_file_says_and_again_when_it_changes(cluster: Cluster) -> None:
    columns = "format=user,fairshare,qos"
    research = Account(people=("root", "daemon"), nodes=3, weight=3)
    for _ in range(2):
        load(cluster, {"research": research, "products": _PRODUCTS})
        people = ["daemon|1|research,spare", "root|1|research,spare", "|3|normal"]
        assert shown(cluster, "assoc", "account=research", columns) == people
        assert shown(cluster, "assoc", "account=products", columns) == ["root|1|spare", "|1|normal"]
    qos = shown(cluster, "qos", "research,spare", "format=name,priority,preempt,grptres,gracetime")
    assert qos == ["research|1000|spare|node=3|00:00:00", "spare|0|||00:02:00"]

    load(cluster, {"research": Account(people=("root",), nodes=5, weight=3), "products": _PRODUCTS})
    assert shown(cluster, "assoc", "account=research", columns) == ["root|1|research,spare", "|3|normal"]


def test_who_asks_for_guaranteed_nodes_gets_them_from_a_run_that_saves_itself_and_comes_back(
    cluster: Cluster, start: Callable[..., Run]
) -> None:
    load(cluster, {"research": Account(people=("root",), nodes=5, weight=3), "products": _PRODUCTS})
    run = start(2, 0, SBATCH_ACCOUNT="products", SBATCH_QOS="spare")
    run.trains(3)

    whose = ["--account=research", "--nodes=5", "--exclusive", "--output=/dev/null"]
    high = int(cluster.run("sbatch", "--parsable", *whose, "--qos=research", "--wrap", "sleep 5"))
    since = time.time()
    cluster.until(lambda: cluster.job_state(high) in ("RUNNING", "COMPLETED"), "the guaranteed nodes are not given")
    run.resumes(since)
    [stopped] = run.of(RunFinished)
    assert stopped.outcome == "stopped" and run.generation.restore_step == stopped.step
    assert run.requeued == 1
