"""Shared file systems (Lustre, NFS): mounted, and what is written can be read back in time.

A file system that hangs is unknown: it may be slow, or its server may be. It alarms.
"""

from __future__ import annotations

import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom, printed
from paceline.spec.health import Device

# One process does it: it may hang, and is then left behind.
_SCRIPT = """
for mount in "$@"; do
  echo "mount $mount"
  grep -q " $mount " /proc/mounts || { echo missing; continue; }
  file="$mount/.paceline-health-$(uname -n)"
  if echo "$$" > "$file" && [ "$(cat "$file")" = "$$" ] && rm "$file"; then echo good; else echo bad; fi
done
"""
_SECTION = re.compile(r"mount (\S+)\n((?:.*\n)*?)(good|bad|missing)\n")
# what a file system says when it is at fault, and not who asks
_BROKEN = re.compile(r"Read-only file system|Input/output error|Stale file handle|Transport endpoint")


class SharedMounts(Check):
    """A file is written to each mount, read back and removed."""

    finds = "shared file systems that are not mounted, refuse to write, or return something else"
    stages = QUICK
    timeout = 40.0

    def applies(self, node: Node) -> bool:
        return bool(node.shared)

    async def observe(self, probe: Probe, node: Node) -> str:
        answer = await probe.run("sh", "-c", f"exec 2>&1{_SCRIPT}", "sh", *node.shared, timeout=30.0)
        return answer.recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, code = printed(text)
        sections = _SECTION.findall(f"{body}\n")
        if code != 0 or tuple(mount for mount, _, _ in sections) != node.shared:
            raise InconclusiveError(f"not all mounts were looked at: {body[:200]}")
        found = []
        for mount, said, verdict in sections:
            device = Device(kind="mount", serial=mount)
            if verdict == "missing":
                found.append(Symptom(fault="host.mount_missing", device=device, evidence=f"{mount} is not mounted"))
            elif verdict == "bad":
                if not _BROKEN.search(said):
                    raise InconclusiveError(f"{mount}: {said[:200]}")
                found.append(Symptom(fault="host.mount_broken", device=device, evidence=f"{mount}: {said}"))
        return found
