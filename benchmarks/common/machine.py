"""Where and when a benchmark ran: without this its figures mean nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import paceline

PACKAGES = ("torch", "aws-cdk-lib", "ministack")


def machine() -> Mapping[str, str]:
    """Date, processor, cores, memory, load and versions, as they are now."""
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    versions = [f"paceline {paceline.__version__}", f"{platform.python_implementation()} {platform.python_version()}"]
    versions += [f"{package} {found}" for package in PACKAGES if (found := _version(package))]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{processor(_read('/proc/cpuinfo'))}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load before the run (1, 5, 15 min)": load,
        "system": platform.platform(terse=True),
        "versions": ", ".join(versions),
    }


def processor(cpuinfo: str) -> str:
    """The model name in the text of /proc/cpuinfo; the architecture where the kernel tells none (many ARM systems)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
