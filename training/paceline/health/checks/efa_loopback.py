"""Every EFA device, talking to itself."""

from __future__ import annotations

import asyncio
import re

from paceline.catalog.checks import limit
from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Output, Probe, Symptom, printed
from paceline.spec.health import Device

_DEVICES = "/sys/class/infiniband/*/device/vendor"
_AMAZON = "0x1d0f"
_SIZE = 2**20
# bytes #sent #ack total time MB/sec usec/xfer Mxfers/sec
_ROW = re.compile(r"\s*(\d+(?:\.\d+)?[kmg]?)\s+\S+\s+\S+\s+\S+\s+[\d.]+s\s+([\d.]+)\s+[\d.]+\s+[\d.]+\s*")
_SECTION = re.compile(r"device (\S+)\n(.*?\nexit -?\d+\n)", re.DOTALL)


class EfaLoopback(Check):
    """`fi_pingpong` over libfabric's efa provider, server and client on the same device, shared memory off."""

    finds = "EFA devices that are slow even to themselves"
    stages = EXCLUSIVE
    cost = 300.0
    timeout = 1800.0

    def applies(self, node: Node) -> bool:
        return bool(node.efa)

    async def observe(self, probe: Probe, node: Node) -> str:
        parts = []
        for path in probe.find(_DEVICES):
            if probe.read(path).strip() == _AMAZON:
                name = path.split("/")[4]
                parts.append(f"device {name}\n{(await _ping(probe, name)).recorded()}")
        return "".join(parts)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        sections = _SECTION.findall(text)
        if not sections or "".join(f"device {name}\n{part}" for name, part in sections) != text:
            raise InconclusiveError("no EFA device answered")
        found = []
        for index, (name, part) in enumerate(sections):
            body, code = printed(part)
            rows = [match for line in body.splitlines() if (match := _ROW.fullmatch(line))]
            if code != 0 or not rows:
                raise InconclusiveError(f"fi_pingpong on {name}: {body[-200:]}")
            gbps = float(rows[-1][2]) * 8 / 1000
            if gbps < limit("efa_loopback_gbps"):
                device = Device(kind="nic", index=index, serial=name)
                found.append(Symptom(fault="deep.efa_slow", device=device, evidence=f"{name}: {gbps:.1f} Gbit/s"))
        return found


async def _ping(probe: Probe, device: str) -> Output:
    settings = ("env", "FI_EFA_ENABLE_SHM_TRANSFER=0", f"FI_EFA_DEVICE_NAME={device}")
    command = (*settings, "fi_pingpong", "-e", "rdm", "-p", "efa", "-S", str(_SIZE), "-I", "1000")
    server = asyncio.create_task(probe.run(*command, "-B", "47592", timeout=60.0))
    try:
        await asyncio.sleep(1.0)  # until the server listens; fi_pingpong has no sign for it
        return await probe.run(*command, "-P", "47592", "localhost", timeout=60.0)
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
