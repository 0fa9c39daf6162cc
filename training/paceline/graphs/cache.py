"""Neuron's persistent cache of compiled graphs, as it lies on a disk.

    <cache>/neuronxcc-<version>/MODULE_<graph>+<flags>/model.hlo_module.pb    the graph
    <cache>/neuronxcc-<version>/MODULE_<graph>+<flags>/model.neff             compiled
    <cache>/neuronxcc-<version>/MODULE_<graph>+<flags>/compile_flags.json, model.done

Sources: aws-neuron-sdk, general/arch/neuron-features/neuron-caching.rst; and a cache that was published,
huggingface.co/aws-neuron/optimum-neuron-cache, neuronxcc-2.15.128.0+56dc5a86.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEFF = "model.neff"
_MODULES = "neuronxcc-*/MODULE_*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many graphs were compiled ahead, how many of these have been read since, and how many had to be compiled all
    the same. `hit` is None where the file system does not record when a file is read."""

    expected: int
    hit: int | None
    missed: int


def modules(cache: Path) -> dict[str, Path]:
    """The folders of all graphs in `cache`, by name, whether they are compiled or not."""
    return {path.name: path for path in sorted(cache.glob(_MODULES)) if path.is_dir()}


def files(cache: Path) -> Iterator[Path]:
    """What is worth keeping of the graphs in `cache`, in order: no locks, nothing hidden."""
    for folder in modules(cache).values():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".lock" and not path.name.startswith("."):
                yield path


def tally(cache: Path, expected: frozenset[str]) -> Tally:
    """Of a run that began with the graphs `expected` in `cache`, whose reading `forget_reads` has forgotten."""
    found = modules(cache)
    read = [name for name in expected if name in found and _was_read(found[name] / NEFF)]
    return Tally(
        expected=len(expected),
        hit=len(read) if _records_reads(cache) else None,
        missed=len(found.keys() - expected),
    )


def forget_reads(cache: Path) -> None:
    """From now on `tally` counts which graphs are read."""
    for folder in modules(cache).values():
        _forget(folder / NEFF)


def _forget(path: Path) -> None:
    # earlier than the last change: then also `relatime`, what Linux mounts by default, records the next reading
    os.utime(path, ns=(0, path.stat().st_mtime_ns))


def _was_read(path: Path) -> bool:
    return path.is_file() and path.stat().st_atime_ns > 0


def _records_reads(cache: Path) -> bool:
    probe = cache / ".read"
    probe.write_bytes(b"?")
    _forget(probe)
    probe.read_bytes()
    seen = _was_read(probe)
    probe.unlink()
    return seen
