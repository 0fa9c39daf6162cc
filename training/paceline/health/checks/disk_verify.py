"""Local disks give back what was written to them."""

from __future__ import annotations

import json
import re

from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

# the kernel's numbers of what a disk at fault answers: EIO, EREMOTEIO, EILSEQ (fio's word for a verify that failed)
_DISK_ERRORS = frozenset({5, 84, 121})


_LOCAL = re.compile(r"/dev/(?:md|mapper/|nvme)\S* (/\S+) \S+ rw[, ]")
_NOT_OURS = ("/boot", "/etc", "/usr")


def _local(mounts: str) -> str:
    """Where the instance's own disks are mounted: the first file system on one that is not the system's."""
    for line in mounts.splitlines():
        if (match := _LOCAL.match(line)) and not match[1].startswith(_NOT_OURS):
            return match[1]
    raise InconclusiveError("no local disk is mounted")


class DiskVerify(Check):
    """`fio` writes a gigabyte with checksums and verifies it."""

    finds = "local disks that lose or change what is written"
    stages = EXCLUSIVE
    cost = 60.0
    timeout = 300.0

    def applies(self, node: Node) -> bool:
        return node.local_disk

    async def observe(self, probe: Probe, node: Node) -> str:
        place = _local(probe.read("/proc/mounts"))
        job = (
            "--name=verify",
            f"--filename={place}/.paceline-verify",
            "--size=1g",
            "--rw=write",
            "--bs=1m",
            "--direct=1",
        )
        check = ("--verify=crc32c", "--do_verify=1", "--unlink=1", "--output-format=json")
        return (await probe.run("fio", *job, *check, timeout=290.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, _ = printed(text)
        start = body.find("{")  # fio may write notes before its report
        try:
            report, _ = json.JSONDecoder().raw_decode(body[start:])
            errors = [int(job["error"]) for job in report["jobs"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InconclusiveError(f"fio: {body[:200]}") from None
        if not errors or any(error and error not in _DISK_ERRORS for error in errors):
            raise InconclusiveError(f"fio: error {errors}")
        if not any(errors):
            return []
        return [Symptom(fault="deep.disk_wrong", device=Device(kind="disk"), evidence=f"fio: error {errors}")]
