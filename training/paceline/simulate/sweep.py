"""The same scenario again and again with one thing changed: what it is worth to do it better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paceline.catalog.failure_rates import FailureRates
from paceline.heal.policy import Policy
from paceline.simulate.run import Simulation
from paceline.simulate.scenario import Scenario
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from paceline.spec.errors import ParameterError


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What is changed. `label` has its unit."""

    label: str
    change: Callable[[Scenario, float], Scenario]


class Point(Record):
    """One run of a sweep."""

    axis: str
    value: float
    goodput: float
    goodput_closed_form: float
    waited_seconds: float
    recovery_seconds: float | None


def _cadence(scenario: Scenario, value: float) -> Scenario:
    recovery = scenario.recovery
    tier = "memory" if recovery.memory is not None else "durable"
    changed = recovery.nearest.model_copy(update={"every": value})
    return scenario.model_copy(update={"recovery": recovery.model_copy(update={tier: changed})})


def _spares(scenario: Scenario, value: float) -> Scenario:
    return scenario.model_copy(update={"spares": int(value)})


def _detection(scenario: Scenario, value: float) -> Scenario:
    recovery = scenario.recovery
    kinds = {"explicit": recovery.explicit, "hang": recovery.hang, "silent": recovery.silent}
    changed = {kind: course.model_copy(update={"detect": (value,)}) for kind, course in kinds.items()}
    return scenario.model_copy(update={"recovery": recovery.model_copy(update=changed)})


def _replacement(scenario: Scenario, value: float) -> Scenario:
    return scenario.model_copy(update={"replace": (value, value)})


AXES = {
    "cadence": Axis(label="seconds between checkpoints of the nearest tier", change=_cadence),
    "spares": Axis(label="spare nodes", change=_spares),
    "detection": Axis(label="seconds until any fault is known", change=_detection),
    "replacement": Axis(label="seconds until another machine has come", change=_replacement),
}


def parse_sweep(text: str) -> dict[str, tuple[float, ...]]:
    """`cadence=10,30,spares=0,2,4` as values by axis. ParameterError names what it cannot be."""
    values: dict[str, list[float]] = {}
    for item in text.split(","):
        name, is_named, number = item.rpartition("=")
        if is_named and name not in AXES:
            raise ParameterError(f"--sweep {text}: {name}: not something to sweep", nearest(name, list(AXES)))
        if not is_named and not values:
            raise ParameterError(f"--sweep {text}: no axis is named", "say for example cadence=10,30,60")
        axis = values.setdefault(name, []) if is_named else values[[*values][-1]]
        axis.append(_number(text, [*values][-1], number))
    return {name: tuple(sorted(set(found))) for name, found in values.items()}


def sweep(
    scenario: Scenario, policy: Policy, axes: dict[str, tuple[float, ...]], table: FailureRates
) -> Iterator[Point]:
    """A run for each value of each axis, everything else and the seed as in `scenario`."""
    for axis, values in axes.items():
        for value in values:
            changed = AXES[axis].change(scenario, value)
            outcome = Simulation(changed, policy).run()
            yield Point(
                axis=axis,
                value=value,
                goodput=outcome.goodput,
                goodput_closed_form=changed.expected_goodput(table),
                waited_seconds=outcome.waited_seconds,
                recovery_seconds=outcome.recovery_seconds,
            )


def points_of(points: Sequence[Point], axis: str) -> list[Point]:
    """Those of one axis, in the order of their values."""
    return [point for point in points if point.axis == axis]


def _number(text: str, axis: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    least = 0.001 if axis == "cadence" else 0.0
    if not least <= value < 1e9 or (axis == "spares" and value != int(value)):
        kind = "a whole number of nodes" if axis == "spares" else "a number of seconds"
        raise ParameterError(f"--sweep {text}: {axis}: {number!r} is not {kind}", f"say for example {axis}=10,30,60")
    return value
