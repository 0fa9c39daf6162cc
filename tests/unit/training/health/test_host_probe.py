"""The probe on a made-up host, and what the checks see through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.health.base import InconclusiveError, Node
from paceline.health.examine import examine
from paceline.health.probe import HostProbe
from paceline.health.registry import check_type
from paceline.spec.health import Finding, Result

Command = Callable[[str, str], None]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A root with what every Linux has."""
    write(tmp_path, "/proc/uptime", "90000.00 1.00")
    write(tmp_path, "/proc/mounts", "/dev/nvme0n1p1 / ext4 rw 0 0\n")
    write(tmp_path, "/proc/meminfo", "MemTotal:       25165824 kB\nMemFree:  1 kB\n")
    return tmp_path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Put a shell script on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    def put(name: str, script: str) -> None:
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)

    return put


def write(root: Path, path: str, text: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def look(check: str, root: Path, node: Node) -> list[Finding]:
    return asyncio.run(examine(check_type(check)(), HostProbe(root), node))


def test_a_command_that_is_missing_or_hangs_is_inconclusive_and_leaves_no_process(
    command: Command, tmp_path: Path
) -> None:
    command("hangs", f"sleep 60 & echo $! > {tmp_path}/pid; wait")

    async def scene() -> None:
        probe = HostProbe(tmp_path)
        with pytest.raises(InconclusiveError, match="not-there: not installed"):
            await probe.run("not-there", timeout=1)
        with pytest.raises(InconclusiveError, match="hangs: no answer within 0.3 s"):
            await probe.run("hangs", timeout=0.3)

    asyncio.run(scene())
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):  # the kernel needs a moment
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.01)
    raise AssertionError("the command's child is still there")


def test_checks_that_ask_the_same_at_the_same_time_run_one_command(command: Command, tmp_path: Path) -> None:
    command("counts", f"echo x >> {tmp_path}/calls; cat {tmp_path}/calls; exit 3")

    async def scene() -> None:
        probe = HostProbe(tmp_path)
        first, second = await asyncio.gather(probe.run("counts", timeout=5), probe.run("counts", timeout=5))
        assert first == second
        assert (first.code, first.stdout) == (3, "x\n")
        other = await HostProbe(tmp_path, share=0).run("counts", timeout=5)
        assert other.stdout == "x\nx\n"

    asyncio.run(scene())


def test_the_kernel_log_is_read_once_and_then_only_what_is_new(host: Path) -> None:
    write(host, "/dev/kmsg", "6,1,100,-;old\n SUBSYSTEM=pci\n6,2,200,-;newer\n")
    probe = HostProbe(host)

    assert probe.kernel_log(-1) == "6,1,100,-;old\n6,2,200,-;newer\n"
    with (host / "dev/kmsg").open("a") as log:
        log.write("3,3,300,-;newest\n")
    assert probe.kernel_log(2) == "3,3,300,-;newest\n"
    assert probe.kernel_log(3) == ""


def test_what_the_kernel_said_long_ago_is_not_reported(host: Path) -> None:
    xid = "NVRM: Xid (PCI:0000:86:00): 79, GPU has fallen off the bus."
    write(host, "/dev/kmsg", f"3,1,1000000,-;{xid}\n")
    node = Node.of("n", "p5.48xlarge")
    assert [f.result for f in look("gpu-xid", host, node)] == [Result.PASS]

    write(host, "/dev/kmsg", f"3,1,1000000,-;{xid}\n3,2,89990000000,-;{xid}\n")
    write(
        host,
        "/proc/driver/nvidia/gpus/0000:86:00.0/information",
        "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-509665ad-b600\nDevice Minor: \t 3\n",
    )
    [finding] = look("gpu-xid", host, node)
    assert (finding.fault, finding.device and (finding.device.index, finding.device.serial)) == (
        "nvidia.xid.79",
        (3, "GPU-509665ad-b600"),
    )


def test_the_same_record_is_not_reported_twice(host: Path) -> None:
    write(host, "/dev/kmsg", "3,7,89990000000,-;NVRM: Xid (PCI:0000:86:00): 31, MMU Fault\n")

    async def scene() -> list[Result]:
        check, probe, node = check_type("gpu-xid")(), HostProbe(host), Node.of("n", "p5.48xlarge")
        return [(await examine(check, probe, node))[0].result for _ in range(2)]

    assert asyncio.run(scene()) == [Result.FAIL, Result.PASS]


def test_gpus_are_read_from_tables(host: Path, command: Command) -> None:
    rows = "\n".join(f'echo "{i}, GPU-{i:08x}, {1 if i == 2 else 0}"' for i in range(8))
    remapped = "\n".join(f'echo "GPU-{i:08x}, 0, 0"' for i in range(8))
    command("nvidia-smi", f'case "$1" in --query-gpu=*) {rows};; *) {remapped};; esac')

    [finding] = look("gpu-ecc", host, Node.of("n", "p5.48xlarge"))

    assert (finding.fault, finding.device and finding.device.index) == ("nvidia.smi.ecc_uncorrected", 2)


def test_devices_are_counted_in_sysfs(host: Path) -> None:
    write(host, "/sys/module/neuron/version", "2.30.2.0")
    write(host, "/sys/module/efa/version", "2.17.2g")
    for index in range(15):
        device = f"/sys/devices/virtual/neuron_device/neuron{index}"
        write(host, f"{device}/core_count", "8\n")
        unhealthy = "link_efa\n" if index == 4 else "\n"
        write(host, f"{device}/stats/hardware/health_status/unhealthy_components", unhealthy)
        write(host, f"/sys/class/infiniband/rdmap{index}s0/device/vendor", "0x1d0f\n")
        write(host, f"/sys/class/infiniband/rdmap{index}s0/ports/1/state", "4: ACTIVE\n")
    node = Node.of("n", "trn2.48xlarge")

    assert [f.fault for f in look("neuron-count", host, node)] == ["neuron.count"]
    [finding] = look("neuron-health", host, node)
    assert (finding.fault, finding.device and finding.device.index) == ("neuron.unhealthy_link", 4)
    assert [f.fault for f in look("efa-count", host, node)] == ["efa.count"]


def test_counters_are_judged_by_how_much_they_grew(host: Path) -> None:
    drops = "/sys/class/infiniband/rdmap0s0/ports/1/hw_counters/rx_drops"
    write(host, drops, "70000\n")

    async def scene() -> list[list[Finding]]:
        check, probe, node = check_type("efa-counters")(), HostProbe(host), Node.of("n", "trn2.48xlarge")
        first = await examine(check, probe, node)
        write(host, drops, "70900\n")
        return [first, await examine(check, probe, node)]

    first, second = asyncio.run(scene())
    assert [f.result for f in first] == [Result.PASS]
    assert [(f.fault, f.evidence) for f in second] == [("efa.rx_drops", "rdmap0s0: rx_drops grew by 900 in 60 s")]


def test_without_the_driver_nothing_is_missing(host: Path) -> None:
    for check, type_name in (("neuron-count", "trn2.48xlarge"), ("efa-count", "p5.48xlarge")):
        assert [f.result for f in look(check, host, Node.of("n", type_name))] == [Result.UNKNOWN]


def test_a_shared_file_system_is_written_and_read(host: Path) -> None:
    mounted = next(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " /dev/shm " in line)
    node = Node.of("n", None, shared=(mounted, "/not-mounted"))

    [finding] = look("shared-mounts", host, node)

    assert (finding.fault, finding.device and finding.device.serial) == ("host.mount_missing", "/not-mounted")
    assert list(Path(mounted).glob(".paceline-health*")) == []


def test_a_laptop_is_healthy(host: Path) -> None:
    write(host, "/dev/kmsg", "6,1,100,-;Linux version 6.8\n")
    for check in ("disk-space", "memory", "kernel-errors"):
        results = {f.result for f in look(check, host, Node.of("laptop", None))}
        assert results <= {Result.PASS, Result.FAIL}, check  # the disk of this machine may be full


def test_the_image_is_what_cloud_init_says(host: Path) -> None:
    write(host, "/run/cloud-init/instance-data.json", '{"ds": {"meta_data": {"ami-id": "ami-0123456789abcdef0"}}}')

    assert look("drift", host, Node.of("n", "p5.48xlarge", image="ami-0123456789abcdef0"))[0].result is Result.PASS
    [finding] = look("drift", host, Node.of("n", "p5.48xlarge", image="ami-0aaaaaaaaaaaaaaaa"))
    assert finding.fault == "host.image_drift"


def test_deep_tests_run_their_tools(host: Path, command: Command) -> None:
    command("stress-ng", 'echo "stress-ng: fail:  [1] cpu: fft error detected, sum was incorrect" >&2; exit 2')
    command("fio", """echo '{"jobs": [{"error": 0}]}'""")
    command("nccom-test", 'echo "1 errors found - test failed"; exit 1')
    write(host, "/proc/mounts", "/dev/nvme0n1p1 / ext4 rw 0 0\n/dev/md0 /local ext4 rw 0 0\n")
    trainium = Node.of("n", "trn1.32xlarge")

    assert [f.fault for f in look("cpu-stress", host, trainium)] == ["deep.cpu_wrong"]
    assert [f.result for f in look("disk-verify", host, trainium)] == [Result.PASS]
    assert [f.fault for f in look("nccom-single", host, trainium)] == ["deep.nccom_failed"]


def test_a_check_that_stumbles_is_unknown(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = check_type("memory")
    monkeypatch.setattr(kind, "parse", lambda *_: 1 / 0)

    [finding] = look("memory", host, Node.of("n", None))

    assert (finding.result, finding.evidence) == (Result.UNKNOWN, "ZeroDivisionError: division by zero")
