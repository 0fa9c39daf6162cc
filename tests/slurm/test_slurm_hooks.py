"""The files that our stacks install on nodes, and what they write into slurm.conf, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.watched import plant

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

_BROKEN = "node1"


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.restore()


def test_a_prolog_that_refuses_a_node_drains_it_with_its_reason_and_the_job_goes_on_elsewhere(clean: Cluster) -> None:
    plant(clean, _BROKEN, "7")
    all_but_one = str(len(clean.nodes) - 1)
    job = int(clean.run("sbatch", "--parsable", f"--nodes={all_but_one}", "--output=/dev/null", "--wrap", "srun true"))
    clean.until(lambda: clean.states()[_BROKEN] in ("drain", "drng"), f"{_BROKEN} was not drained")
    assert clean.show("node", _BROKEN)["nodes"][0]["reason"] == "paceline node check: 7 of 8 accelerators"

    clean.run("scontrol", "update", f"jobid={job}", "starttime=now")  # as the healer and `paceline run` do
    clean.until(lambda: clean.job_state(job) == "COMPLETED", "the job was not done elsewhere")
    found = clean.show("job", str(job))["jobs"][0]
    assert found["restart_cnt"] == 1
    assert _BROKEN not in clean.run("scontrol", "show", "hostnames", found["nodes"]).split()


def test_the_health_check_drains_an_idle_node_and_gives_back_only_its_own(clean: Cluster) -> None:
    other = clean.nodes[1]
    plant(clean, _BROKEN, "6")
    clean.run("scontrol", "update", f"nodename={other}", "state=drain", "reason=paceline: nvidia.xid.79")
    clean.until(lambda: clean.states()[_BROKEN] == "drain", "the health check drained nothing")
    assert clean.show("node", _BROKEN)["nodes"][0]["reason"] == "paceline node check: 6 of 8 accelerators"

    plant(clean, _BROKEN, "8")
    clean.until(lambda: clean.states()[_BROKEN] == "idle", "the health check gave nothing back")
    assert clean.states()[other] == "drain"
