"""What several checks of GPUs share: the names of the GPUs, and tables of nvidia-smi."""

from __future__ import annotations

import csv
import re

from paceline.health.base import InconclusiveError, Probe, printed
from paceline.spec.health import Device

_PROC = "/proc/driver/nvidia/gpus"
_MINOR = re.compile(r"Device Minor:\s*(\d+)")
_UUID = re.compile(r"GPU UUID:\s*(GPU-\S+)")
_GPU = re.compile(r"gpu (\S+) (\d+) (\S+)")

# the words with which nvidia-smi says that it has no value
_NOTHING = ("[N/A]", "N/A", "[Not Supported]")


def gpu_names(probe: Probe) -> str:
    """A line for each GPU that the driver knows, `gpu PCI_ADDRESS INDEX UUID`, read without asking a GPU that may
    hang."""
    lines = []
    for path in probe.find(f"{_PROC}/*/information"):
        text = probe.read(path)
        minor, uuid = _MINOR.search(text), _UUID.search(text)
        if minor and uuid:
            lines.append(f"gpu {path.split('/')[-2]} {minor[1]} {uuid[1]}\n")
    return "".join(lines)


def gpu_at(address: str, names: str) -> Device:
    """The GPU at a PCI address as the driver writes it (`0000:9b:00`, with or without function), by `gpu_names`."""
    for pci, minor, uuid in _GPU.findall(names):
        if pci.lower().startswith(address.lower()):
            return Device(kind="gpu", index=int(minor), serial=uuid)
    return Device(kind="gpu")


def gpu(row: dict[str, str]) -> Device:
    """The GPU of a row that has `uuid`, and `index` where the table has one."""
    index = row.get("index", "")
    return Device(kind="gpu", index=int(index) if index.isdecimal() else None, serial=row["uuid"])


async def table(probe: Probe, query: str, fields: tuple[str, ...]) -> str:
    """What nvidia-smi prints for `query` (`--query-gpu`, ...), as recorded."""
    command = ("nvidia-smi", f"{query}={','.join(fields)}", "--format=csv,noheader,nounits")
    return (await probe.run(*command, timeout=20.0)).recorded()


def rows(text: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """A recorded table, a dictionary per row, values that nvidia-smi does not have left out. InconclusiveError when
    it is anything but whole rows about GPUs."""
    body, code = printed(text)
    found = []
    for row in csv.reader(body.splitlines(), skipinitialspace=True):
        values = {name: value.strip() for name, value in zip(fields, row, strict=False)}
        if len(row) != len(fields) or not values["uuid"].startswith("GPU-"):
            raise InconclusiveError(f"nvidia-smi: {','.join(row)[:200]}")
        found.append({name: value for name, value in values.items() if value not in _NOTHING})
    if code != 0 or not found:
        raise InconclusiveError(f"nvidia-smi: exit {code}: {body[:200]}")
    return found


def number(row: dict[str, str], field: str) -> float | None:
    """The value of a column; None when this GPU has none."""
    if field not in row:
        return None
    try:
        return float(row[field])
    except ValueError:
        raise InconclusiveError(f"nvidia-smi: {field} is {row[field][:40]!r}") from None
