"""What nodes run at their first boot and around jobs, for real: on success, again, without a tool, and on failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import paceline_constructs
from tests.script_bench import Bench

ROOM = Path(paceline_constructs.__file__).parent
NODE = ROOM / "slurm" / "node"
DIGEST = f"sha256:{'0' * 64}"

pytestmark = pytest.mark.integration

# a healthy node of two GPUs with both file systems mounted
GPUS = 'for gpu in 0 1; do echo "GPU $gpu: NVIDIA H100"; done'
MOUNTED = "echo autofs; echo nfs4"


@pytest.fixture
def node(tmp_path: Path) -> Bench:
    """A Slurm node as cloud-init has left it."""
    bench = Bench(tmp_path / "node")
    for script in NODE.glob("*.sh"):
        bench.add(script, f"/opt/paceline/bin/{script.stem}")
    configure(bench)
    for path in ("home", "fsx", "dev/shm", "etc/systemd/system"):
        (bench.root / path).mkdir(parents=True)
    bench.stand_in("nvidia-smi", GPUS)
    bench.stand_in("findmnt", MOUNTED)
    bench.stand_in("df", "printf 'Use%%\\n 41%%\\n'")
    bench.stand_in("hostname", "echo node-1")
    bench.stand_in("scontrol")
    bench.stand_in("sleep")
    bench.stand_in("curl", 'case "$*" in *token) echo token ;; *) echo us-east-1 ;; esac')
    bench.stand_in("systemctl")
    bench.stand_in("systemd-escape", 'echo "${2##*/}"')
    bench.stand_in("mountpoint", "exit 1")
    return bench


def configure(bench: Bench, **changes: str) -> None:
    """Write node.env as user data does."""
    values = {
        "PACELINE_TEAM": "alpha",
        "PACELINE_FAMILY": "nvidia",
        "PACELINE_ACCELERATORS": "2",
        "PACELINE_DRIVER_FLOOR": "580",
        "PACELINE_HOMES_PARAMETER": "/paceline/alpha/slurm/homes",
        "PACELINE_LUSTRE_PARAMETER": "/paceline/alpha/slurm/lustre",
        "PACELINE_REGISTRY_PARAMETER": "/paceline/alpha/registry/repository-prefix",
        "PACELINE_CONTAINERS": "1",
        "PACELINE_AGENT_DIGEST": DIGEST,
        **changes,
    }
    path = bench.root / "etc/paceline/node.env"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def script(bench: Bench, name: str) -> Path:
    return bench.root / "opt/paceline/bin" / name


# prolog, epilog, health ------------------------------------------------------------------------------------------


def test_a_healthy_node_gets_its_job(node: Bench) -> None:
    done = node.run(script(node, "prolog"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("command", "body", "problem"),
    [
        ("nvidia-smi", 'echo "GPU 0: NVIDIA H100"', "1 of 2 accelerators"),
        ("nvidia-smi", "exit 9", "nvidia-smi fails with 9; 0 of 2 accelerators"),
        ("findmnt", "echo autofs", "/home is not mounted; /fsx is not mounted"),
        ("df", "printf 'Use%%\\n 96%%\\n'", "root volume is full"),
    ],
)
def test_a_sick_node_is_refused_with_the_reason(node: Bench, command: str, body: str, problem: str) -> None:
    node.stand_in(command, body)
    done = node.run(script(node, "prolog"))
    assert done.returncode == 1
    assert done.stderr.replace(str(node.root), "") == f"paceline: node refused: {problem}\n"
    reason = f"paceline node check: {problem}"
    assert node.called("scontrol update") == [f"scontrol update nodename=node-1 state=drain reason={reason}"]


def test_a_missing_tool_is_named(node: Bench) -> None:
    (node.root / "bin" / "nvidia-smi").unlink()
    done = node.run(script(node, "prolog"))
    assert done.returncode == 1
    assert "nvidia-smi fails with 127" in done.stderr


@pytest.mark.parametrize(
    ("version", "problem"),
    [("570.172.08", "driver 570.172.08 is older than 580, which the images need"), ("580.95.05", ""), ("1000.1", "")],
)
def test_a_driver_that_is_too_old_keeps_jobs_away(node: Bench, version: str, problem: str) -> None:
    node.stand_in("cat", f'case "$1" in /sys/module/nvidia/version) echo {version} ;; *) exec /bin/cat "$@" ;; esac')
    done = node.run(script(node, "prolog"))
    assert (done.returncode, problem in done.stderr) == (int(bool(problem)), True), done.stderr


def test_a_driver_whose_version_cannot_be_read_is_not_called_old(node: Bench) -> None:
    node.stand_in("cat", "exit 1")
    assert node.run(script(node, "prolog")).returncode == 0


def test_neuron_devices_are_counted_without_a_tool(node: Bench) -> None:
    configure(node, PACELINE_FAMILY="neuron")
    for number in (0, 1):
        (node.root / "dev" / f"neuron{number}").touch()
    assert node.run(script(node, "prolog")).returncode == 0
    (node.root / "dev" / "neuron1").unlink()
    assert "1 of 2 accelerators" in node.run(script(node, "prolog")).stderr


def test_health_drains_a_sick_node_once(node: Bench) -> None:
    node.stand_in("nvidia-smi", 'echo "GPU 0: NVIDIA H100"')
    assert node.run(script(node, "health")).returncode == 0
    reason = "paceline node check: 1 of 2 accelerators"
    assert node.called("scontrol update") == [f"scontrol update nodename=node-1 state=drain reason={reason}"]
    node.stand_in("scontrol", f'echo "   Reason={reason} [root@2026-11-21]"')
    node.run(script(node, "health"))
    assert not node.called("scontrol update")


def test_health_takes_back_only_what_these_files_drained(node: Bench) -> None:
    node.stand_in("scontrol", 'echo "   Reason=paceline node check: 1 of 2 accelerators [root@2026-11-21]"')
    node.run(script(node, "health"))
    assert node.called("scontrol update") == ["scontrol update nodename=node-1 state=resume"]
    for other in ("replace the cable", "paceline: nvidia.xid.79"):
        node.stand_in("scontrol", f'echo "   Reason={other} [anna@2026-11-21]"')
        node.run(script(node, "health"))
        assert not node.called("scontrol update")


@pytest.mark.parametrize(("status", "left"), [("1", False), ("0", True), ("2", True)])
def test_the_epilog_cleans_up_after_the_last_job_only(node: Bench, status: str, left: bool) -> None:
    """pgrep says 1 for "none"; with 2 it could not tell."""
    node.stand_in("pgrep", f"exit {status}")
    leftover = node.root / "dev/shm/leftover"
    leftover.touch()
    assert node.run(script(node, "epilog"), SLURM_JOB_UID=str(os.getuid())).returncode == 0
    assert leftover.exists() is left


def test_the_epilog_deletes_nothing_without_pgrep(node: Bench) -> None:
    leftover = node.root / "dev/shm/leftover"
    leftover.touch()
    assert node.run(script(node, "epilog"), SLURM_JOB_UID=str(os.getuid())).returncode == 0
    assert leftover.exists()


# first boot ------------------------------------------------------------------------------------------------------


def disks(bench: Bench, *names: str) -> None:
    lines = "".join(f"echo '{name} Amazon EC2 NVMe Instance Storage'\n" for name in names)
    bench.stand_in("lsblk", f"echo '/dev/nvme0n1 Amazon Elastic Block Store'\n{lines}")
    bench.stand_in("vgs", '[ -e "$ROOT/made" ]')
    bench.stand_in("vgcreate", 'touch "$ROOT/made"')
    for command in ("lvcreate", "mkfs.xfs"):
        bench.stand_in(command)
    bench.stand_in("mountpoint", '[ -e "$ROOT/mounted" ]')
    bench.stand_in("mount", 'touch "$ROOT/mounted"')


def test_local_disks_become_one_volume_and_stay_it(node: Bench) -> None:
    disks(node, "/dev/nvme1n1", "/dev/nvme2n1")
    assert node.run(script(node, "scratch")).returncode == 0
    assert "vgcreate scratch /dev/nvme1n1 /dev/nvme2n1" in node.calls
    assert "lvcreate --name data --extents 100%FREE --stripes 2 scratch" in node.calls
    assert node.called("mount ") == ["mount -o noatime,nodiratime /dev/scratch/data /scratch"]
    assert node.run(script(node, "scratch")).returncode == 0
    assert not [call for call in node.calls if call.startswith(("vgcreate", "lvcreate", "mkfs", "mount "))]


def test_a_node_without_local_disks_is_left_alone(node: Bench) -> None:
    disks(node)
    done = node.run(script(node, "scratch"))
    assert (done.returncode, done.stdout) == (0, "paceline: no local disks\n")
    assert not node.called("vg")


def test_a_disk_that_cannot_be_used_is_not_formatted(node: Bench) -> None:
    disks(node, "/dev/nvme1n1")
    node.stand_in("vgcreate", "exit 5")
    assert node.run(script(node, "scratch")).returncode == 5
    assert not node.called("mkfs")


def test_file_systems_are_mounted_by_systemd(node: Bench) -> None:
    node.stand_in("aws", 'echo "server-of-${4##*/}:/x"')
    for _ in range(2):  # a second time changes nothing
        done = node.run(script(node, "mounts"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "What=server-of-homes:/x\nWhere=/home\nType=nfs\n" in node.read("/etc/systemd/system/home.mount")
        assert "What=server-of-lustre:/x\nWhere=/fsx\nType=lustre\n" in node.read("/etc/systemd/system/fsx.mount")
        assert node.called("systemctl enable") == [
            "systemctl enable --now home.automount",
            "systemctl enable --now fsx.automount",
        ]


def test_a_parameter_is_asked_for_until_the_network_is_up(node: Bench) -> None:
    node.stand_in("aws", 'echo >>"$ROOT/asked"; [ "$(wc -l <"$ROOT/asked")" -gt 2 ] && echo server:/x')
    done = node.run(script(node, "mounts"))
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"paceline: /paceline/alpha/slurm/homes cannot be read, attempt {attempt} of 12" for attempt in (1, 2)
    ]


def test_a_parameter_that_is_not_there_ends_the_step(node: Bench) -> None:
    node.stand_in("aws", "exit 254")
    done = node.run(script(node, "mounts"))
    assert done.returncode != 0
    assert "attempt 12 of 12" in done.stderr
    assert not node.called("systemctl")


def test_enroot_keeps_its_caches_off_the_root_volume(node: Bench) -> None:
    node.stand_in("enroot")
    node.stand_in("mountpoint", "exit 0")
    for _ in range(2):
        assert node.run(script(node, "containers")).returncode == 0
    written = node.read("/etc/enroot/enroot.conf.d/50-paceline.conf")
    assert "ENROOT_CACHE_PATH /scratch/enroot/cache-$(id -u)\n" in written


def test_an_image_without_enroot_is_told(node: Bench) -> None:
    done = node.run(script(node, "containers"))
    assert done.returncode == 1
    assert "the image of this node has no enroot" in done.stderr
    configure(node, PACELINE_CONTAINERS="0")
    assert node.run(script(node, "containers")).returncode == 0


REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def test_the_agent_runs_by_digest_from_the_teams_registry(node: Bench) -> None:
    node.stand_in("aws", f'case "$1" in ssm) echo {REGISTRY}/paceline/alpha ;; *) echo secret ;; esac')
    node.stand_in("docker", '[ "$1" != login ] || grep -q secret')
    for _ in range(2):
        done = node.run(script(node, "agent"))
        assert done.returncode == 0
        image = f"{REGISTRY}/paceline/alpha/node-agent@{DIGEST}"
        assert f"docker pull --quiet {image}" in node.calls
        assert f"docker logout {REGISTRY}" in node.calls
        assert node.calls[-1] == "systemctl restart paceline-agent.service"
        unit = node.read("/etc/systemd/system/paceline-agent.service")
        assert "--gpus all" in unit
        assert f"--entrypoint paceline {image} \\\n    agent --supervisors /run/paceline " in unit


def test_an_agent_that_cannot_be_pulled_is_not_started(node: Bench) -> None:
    node.stand_in("aws", f'case "$1" in ssm) echo {REGISTRY}/paceline/alpha ;; *) echo secret ;; esac')
    node.stand_in("docker", 'case "$1" in login) cat >/dev/null ;; pull) exit 1 ;; esac')
    assert node.run(script(node, "agent")).returncode == 1
    assert not node.called("systemctl")
    configure(node, PACELINE_AGENT_DIGEST="")
    assert node.run(script(node, "agent")).returncode == 0
    assert not node.called("docker")


def test_a_step_that_fails_does_not_keep_the_others_from_running(node: Bench) -> None:
    for step in ("scratch", "containers", "agent"):
        node.stand_in(step)
        target = script(node, step)
        target.unlink()
        target.symlink_to(node.root / "bin" / step)
    node.stand_in("aws", "exit 254")
    done = node.run(script(node, "boot"))
    assert done.returncode == 0
    assert "paceline: mounts failed with 1" in done.stderr
    assert [call.strip() for call in node.calls if call.strip() in ("scratch", "containers", "agent")] == [
        "scratch",
        "containers",
        "agent",
    ]


# HyperPod --------------------------------------------------------------------------------------------------------


def test_a_hyperpod_node_gets_caches_and_no_upgrades(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "node")
    create = bench.add(ROOM / "hyperpod" / "lifecycle" / "on_create.sh", "/opt/on_create.sh")
    bench.stand_in("systemctl", 'case "$*" in list*dnf*) exit 1 ;; disable*apt-daily.timer) exit 1 ;; esac')
    bench.stand_in("mountpoint", 'case "$2" in */opt/dlami/nvme) exit 0 ;; *) exit 1 ;; esac')
    for _ in range(2):
        done = bench.run(create)
        assert done.returncode == 0
        assert "apt-daily.timer could not be turned off" in done.stdout
        assert bench.called("systemctl disable") == [
            "systemctl disable --now unattended-upgrades.service",
            "systemctl disable --now apt-daily.timer",
            "systemctl disable --now apt-daily-upgrade.timer",
        ]
        assert "ENROOT_TEMP_PATH /opt/dlami/nvme/enroot\n" in bench.read("/etc/enroot/enroot.conf.d/50-paceline.conf")
