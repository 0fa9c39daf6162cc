"""How fast a healthy node is, learnt from the fleet: one baseline for each test, instance type, number of nodes,
payload and version of the library.

The newest speed of every machine is kept beside the evidence, `baselines/<what is comparable>.json`. A speed is judged
against the median of the others, which half of them would have to be wrong to move; the spread is the median absolute
deviation (Leys et al., J. Exp. Soc. Psychol. 49, 2013, p. 764).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from pydantic import TypeAdapter, ValidationError

from paceline.clients.object_store import ObjectStore
from paceline.heal.policy import Policy
from paceline.spec.base import Record
from paceline.spec.errors import StorageError
from paceline.spec.healing import Measurement
from paceline.spec.health import Finding, Result

_PREFIX = "baselines/"
_EVIDENCE = 4096
# by this factor the deviation of normally distributed values becomes their standard deviation (Leys et al.)
_NORMAL = 1.4826


class Seen(Record):
    """What one machine reached last: GB/s, and when."""

    speed: float
    time: datetime


class Baseline(Record):
    """What `machines` of a fleet reach: GB/s."""

    center: float
    spread: float
    machines: int


_SEEN: TypeAdapter[dict[str, Seen]] = TypeAdapter(dict[str, Seen])


def learnt(speeds: Iterable[float]) -> Baseline:
    """The baseline of one speed a machine, at least one."""
    values = list(speeds)
    center = median(values)
    spread = _NORMAL * median(abs(value - center) for value in values)
    return Baseline(center=center, spread=spread, machines=len(values))


def too_slow(speed: float, baseline: Baseline, policy: Policy) -> bool:
    """Whether `speed` is below what the fleet reaches, by more than its spread explains and by enough to matter. A
    baseline of too few machines judges nobody."""
    if baseline.machines < policy.baseline_machines:
        return False
    within = baseline.center - policy.baseline_spreads * baseline.spread
    return speed < min(within, baseline.center * (1 - policy.baseline_share))


def slowness(node: str, measurement: Measurement, baseline: Baseline, now: datetime) -> Finding:
    """What is wrong with a node that is too slow for its fleet."""
    said = (
        f"{measurement.speed:g} GB/s, where the median of {baseline.machines} other machines is {baseline.center:g} "
        f"(spread {baseline.spread:.3g}); {measurement.payload} bytes, {measurement.library}"
    )
    return Finding(
        node=node,
        check=measurement.test,
        result=Result.FAIL,
        time=now,
        fault=measurement.fault,
        evidence="; ".join(part for part in (said, measurement.detail) if part)[:_EVIDENCE],
    )


class Baselines:
    """The speeds in `store`, read when they are first asked for. One that leads is the only one who writes."""

    def __init__(self, store: ObjectStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._seen: dict[str, dict[str, Seen]] = {}

    def keep(self, machine: str, measurement: Measurement, near: bool, now: datetime) -> None:
        """Remember what `machine` reached; `near`: all nodes of the test were on one leaf. Told again, it changes
        nothing."""
        key = _key(measurement, near)
        seen = self._machines(key)
        if machine in seen and seen[machine].speed == measurement.speed:
            return
        since = now - timedelta(seconds=self._policy.remember)
        kept = {name: one for name, one in seen.items() if one.time >= since}
        kept[machine] = Seen(speed=measurement.speed, time=now)
        self._store.put(key, _SEEN.dump_json(kept))
        self._seen[key] = kept

    def against(self, machine: str, measurement: Measurement, near: bool) -> Baseline | None:
        """What the other machines reach; None when there is no other."""
        others = [one.speed for name, one in self._machines(_key(measurement, near)).items() if name != machine]
        return learnt(others) if others else None

    def _machines(self, key: str) -> dict[str, Seen]:
        if key not in self._seen:
            try:
                self._seen[key] = _SEEN.validate_json(self._store.get(key))
            except FileNotFoundError:
                self._seen[key] = {}
            except ValidationError as cause:
                raise StorageError(
                    f"{self._store.uri}/{key}: not speeds that this paceline can read: {cause.errors()[0]['msg']}",
                    "use the paceline that wrote it, or move the file away: the baseline is learnt anew",
                ) from cause
        return self._seen[key]


def _key(measurement: Measurement, near: bool) -> str:
    parts = (
        measurement.test,
        measurement.instance_type or "unknown",
        f"{measurement.nodes}-nodes",
        "one-leaf" if near else "any-leaves",
        f"{measurement.payload}-bytes",
        measurement.library,
    )
    return _PREFIX + "/".join(re.sub(r"[^\w.+-]+", "-", part) for part in parts) + ".json"
