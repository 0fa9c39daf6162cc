"""What a node brings with it: the files that our stacks install on nodes of a real cluster, and stand-ins for programs
that this machine lacks. `host/etc` and `host/opt` are laid over this machine's own."""

from __future__ import annotations

import email
from pathlib import Path

import yaml

from paceline.catalog.slurm import pcs
from paceline_constructs.slurm.settings import all_settings
from paceline_constructs.slurm.user_data import NodeProps, user_data

GPUS = 8
# a file on the node: how many GPUs it has, or `hang`
PLANTED = "/var/tmp/gpus"
# where our files look for the programs of Slurm on a node of PCS
TOOLS = "/opt/aws/pcs/scheduler/slurm-test/bin"
REBOOT = f"{TOOLS}/reboot-node"

_CORPUS = Path(__file__).parent.parent / "unit" / "training" / "health" / "corpus"
_STAND_INS = {
    "nvidia-smi": f"""\
gpus=$(cat {PLANTED} 2>/dev/null || echo {GPUS})
[ "$gpus" = hang ] && exec sleep 3600
for number in $(seq "$gpus"); do
    echo "GPU $((number - 1)): NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-00000000000$number)"
done
""",
    "stress-ng": f"head -n -1 {_CORPUS}/cpu_stress/healthy.txt\n",
    # /home and /fsx are mounted, and answer
    "findmnt": "echo lustre\n",
    "stat": "exit 0\n",
    # the machine goes off: its first process ends
    "reboot-node": "kill -TERM 1\n",
}


def hook_settings() -> dict[str, str]:
    """What our stacks write into slurm.conf. There is no cgroup for `Contain`, and nobody waits for minutes."""
    team = {"SchedulerParameters": "bf_interval=5,sched_interval=5,batch_sched_delay=0"}
    return {**all_settings(team, pcs().ports, with_accounts=True), "PrologFlags": "Alloc", "HealthCheckInterval": "10"}


def write_hooks(host: Path, slurm_conf: Path) -> None:
    """Write all of it below `host`."""
    for path, content in {
        **_installed(),
        **{f"{TOOLS}/{name}": f"#!/bin/sh\n{do}" for name, do in _STAND_INS.items()},
    }.items():
        file = host / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    # programs that Slurm starts are not told where it is
    (host / "etc" / "slurm").mkdir()
    (host / "etc" / "slurm" / "slurm.conf").symlink_to(slurm_conf)


def _installed() -> dict[str, str]:
    """What cloud-init writes on a node, by path."""
    props = NodeProps(
        team="test",
        family="nvidia",
        accelerators=GPUS,
        driver_floor=None,
        homes_parameter="/none",
        lustre_parameter="/none",
        registry_parameter="/none",
        containers=False,
        agent_digest=None,
    )
    config, _ = email.message_from_string(user_data(props)).get_payload()
    return {file["path"]: file["content"] for file in yaml.safe_load(config.get_payload())["write_files"]}
