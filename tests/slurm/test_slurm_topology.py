"""The network that we describe is the one that slurmctld places jobs by."""

from __future__ import annotations

import pytest

from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def test_a_job_that_wants_one_switch_is_placed_below_one_of_ours(cluster: Cluster) -> None:
    leaves = {",".join(cluster.nodes[0::2]), ",".join(cluster.nodes[1::2])}
    shown = cluster.run("scontrol", "show", "topology")
    assert "SwitchName=top Level=1" in shown
    assert shown.count("Level=0") == len(leaves)

    size = str(len(cluster.nodes) // 2)
    whatever = ["--switches=1", "--output=/dev/null", "--wrap", "true"]
    job = int(cluster.run("sbatch", "--parsable", "--nodes", size, *whatever))
    cluster.until(lambda: cluster.job_state(job) == "COMPLETED", "the job was not done")
    hosts = cluster.run("scontrol", "show", "hostnames", cluster.show("job", str(job))["jobs"][0]["nodes"]).split()
    assert ",".join(hosts) in leaves
