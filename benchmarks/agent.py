"""What the node agent costs: `paceline agent` with every continuous check of a p5.48xlarge on, after it has settled.

python -m benchmarks.agent [--repeat N] [--save]

The node is made up: its kernel log and sysfs are files, nvidia-smi, dcgmi and chronyc are scripts that print what the
real ones print. What the real tools take on a real node comes on top; the agent counts it into its budget.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common.command import Say, command
from benchmarks.common.jobs import workspace
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.catalog.checks import efa_bursts

AIM_PERCENT, AIM_MIB = 0.5, 60
_SETTLE_SECONDS, _SECONDS = 20.0, 60.0
_GPUS, _EFA = 8, 32
_UUIDS = [f"GPU-{index:08x}-b600-ac93-3616-d754b23d636d" for index in range(_GPUS)]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _lines(template: str) -> str:
    return "\n".join(template.format(index=index, uuid=uuid) for index, uuid in enumerate(_UUIDS))


def _tools() -> dict[str, str]:
    """The scripts, by name."""
    smi = {
        "-L": _lines("GPU {index}: NVIDIA H100 80GB HBM3 (UUID: {uuid})"),
        "nvlink": _lines("GPU {index}: NVIDIA H100 80GB HBM3 (UUID: {uuid})\n\t Link 0: 26.562 GB/s"),
        "--query-remapped-rows=*": _lines("{uuid}, 0, 0"),
        "--query-gpu=*ecc*": _lines("{index}, {uuid}, 0"),
        "--query-gpu=*pcie*": _lines("{index}, {uuid}, 16, 16"),
        "--query-gpu=*": _lines("{index}, {uuid}, 41, Not Active, Not Active"),
    }
    cases = "\n".join(f"{pattern}) cat <<'X'\n{text}\nX\n;;" for pattern, text in smi.items())
    return {
        "nvidia-smi": f'case "$1" in\n{cases}\nesac',
        "dcgmi": """echo '{"body": {"Overall Health": {"value": "Healthy"}}}'""",
        "chronyc": "echo 'Leap status     : Normal'",
    }


def _host(root: Path) -> None:
    files = {
        "proc/uptime": "90000.00 1.00",
        "proc/mounts": "/dev/nvme0n1p1 / ext4 rw 0 0\n",
        "proc/meminfo": "MemTotal:       2113407800 kB\n",
        "dev/kmsg": "".join(f"6,{n},{89 * 10**9 + n},-;IPv6: ADDRCONF(NETDEV_CHANGE): eth0\n" for n in range(4000)),
        "sys/module/efa/version": "2.17.2g",
    }
    for index in range(_EFA):
        device = f"sys/class/infiniband/rdmap{index}s0"
        files |= {f"{device}/device/vendor": "0x1d0f", f"{device}/ports/1/state": "4: ACTIVE"}
        files |= {f"{device}/ports/1/hw_counters/{name}": "0" for name in efa_bursts()}
    tools = {f"tools/{name}": f"#!/bin/sh\n{script}\n" for name, script in _tools().items()}
    for path, text in {**files, **tools}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path in tools:
        (root / path).chmod(0o755)


@contextmanager
def _agent(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["--root", str(root), "--instance-type", "p5.48xlarge", "--listen", "127.0.0.1:0"]
    environment = os.environ | {"PATH": f"{root}/tools:{os.environ['PATH']}"}
    call = [sys.executable, "-c", "from paceline.cli.main import main; main()", "agent", *arguments]
    process = subprocess.Popen(call, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _spent(pid: int) -> tuple[float, float]:
    """Processor seconds of the process, and of the commands that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return own / _TICKS, children / _TICKS


def measure(repeat: int, say: Say) -> Report:
    """All repetitions, each an agent of its own."""
    own: list[float] = []
    whole: list[float] = []
    resident: list[float] = []
    for number in range(repeat):
        say(f"{number + 1} of {repeat}: {_SETTLE_SECONDS + _SECONDS:.0f} s")
        with workspace() as root:
            _host(root)
            with _agent(root) as process:
                time.sleep(_SETTLE_SECONDS)
                before, began = _spent(process.pid), time.monotonic()
                time.sleep(_SECONDS)
                after, seconds = _spent(process.pid), time.monotonic() - began
                own.append(100 * (after[0] - before[0]) / seconds)
                whole.append(100 * (sum(after) - sum(before)) / seconds)
                pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
                resident.append(int(pages) * _PAGE / 2**20)
    return Report(
        title="The node agent, all continuous checks of a p5.48xlarge on",
        table=Table(
            columns=(f"figure (n = {repeat})", *SPREAD),
            rows=(
                ("agent alone, % of one core", *spread(own)),
                ("agent and its commands, % of one core", *spread(whole)),
                ("resident memory, MiB", *spread(resident, 1)),
            ),
        ),
        notes=(
            f"Aim: at most {AIM_PERCENT} % of one core and {AIM_MIB} MB.",
            f"Over {_SECONDS:.0f} s, after {_SETTLE_SECONDS:.0f} s to settle. nvidia-smi, dcgmi and chronyc are"
            " scripts: what the real ones take on a real node comes on top. The agent counts it into its budget.",
        ),
    )


if __name__ == "__main__":
    sys.exit(command("agent", __doc__, measure, repeat=1))
