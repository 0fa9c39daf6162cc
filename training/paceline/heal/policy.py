"""What the healer may do without a person: shipped defaults (policy.yaml) under a team's own file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from paceline.catalog.faults import faults
from paceline.spec.base import Record
from paceline.spec.documents import nearest, parse, read, validate
from paceline.spec.errors import ParameterError
from paceline.spec.healing import Rung
from paceline.spec.health import Action, Fault

_DEFAULTS = "policy.yaml"
_TRIED = (Action.RESET_DEVICE, Action.REBOOT, Action.REPLACE)


def _action(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.upper() not in Action.__members__:
        raise ValueError(f"not an action ## {nearest(value, [action.name.lower() for action in Action])}")
    return Action[value.upper()]


class Override(Record):
    """What the team does about one fault instead of what its maker says."""

    action: Action = Field(description="one of none, observe, restart_job, reset_device, reboot, replace, isolate")
    reason: str = Field(min_length=10, description="why the maker's own action is not right here, for the next reader")

    _named = field_validator("action", mode="before")(_action)


class Policy(Record):
    """Times are in seconds."""

    stale_after: float = Field(gt=0, description="age of a finding from which on it says nothing")
    unreachable_after: float = Field(gt=0, description="how long a node may be silent before that is a fault")
    breaker_share: float = Field(gt=0, le=1, description="share of the fleet that may be out at once, 0 to 1")
    actions_per_hour: int = Field(ge=1, description="actions that take a node, over the whole fleet")
    attempts: dict[Action, int] = Field(description="how often reset_device, reboot and replace are each tried")
    remember: float = Field(gt=0, description="how long what was done counts")
    lemon_actions: int = Field(ge=2, description="actions on one node that make it a lemon")
    lemon_window: float = Field(gt=0, description="the time within which `lemon_actions` are counted")
    repeats: int = Field(ge=2, description="how often a fault that is only counted comes before it acts")
    repeat_window: float = Field(gt=0, description="the time within which `repeats` are counted")
    burst: float = Field(ge=0, description="what comes again within this time is counted once")
    drain_within: float = Field(ge=0, description="how long jobs are given to leave a node")
    return_within: dict[Action, float] = Field(description="how long reset_device, reboot and replace may each take")
    rungs: dict[Action, tuple[Rung, ...]] = Field(
        description="what a node must pass (single, pair, multi) after none (it joined), reset_device, reboot, replace"
    )
    test_within: float = Field(gt=0, description="how long one rung may take, with the wait for partners")
    multi_peers: int = Field(ge=2, description="proven idle nodes that the multi-node rung takes at most")
    partner_within: float = Field(gt=0, description="how long a rung waits for proven idle nodes until it is left out")
    test_tries: int = Field(ge=1, description="how often a rung that cannot tell is tried, with other peers each time")
    baseline_machines: int = Field(ge=3, description="machines that a learnt baseline needs before it judges")
    baseline_spreads: float = Field(gt=0, description="spreads below the fleet's median from which on a node is slow")
    baseline_share: float = Field(
        gt=0, lt=1, description="share below the fleet's median that a slow node has at least"
    )
    failures_per_1000_node_days: float = Field(gt=0, description="for the size of the spare pool")
    spare_confidence: float = Field(gt=0, lt=1, description="probability that the spare pool suffices")
    top_up: bool = Field(description="whether the fleet is made larger when too few nodes stand by")
    overrides: dict[str, Override] = Field(description="the team's own actions, by code of the fault catalog")

    @field_validator("attempts", "return_within", "rungs", mode="before")
    @classmethod
    def _by_action(cls, value: Any) -> Any:
        return {_action(key): item for key, item in value.items()} if isinstance(value, Mapping) else value

    @field_validator("attempts", "return_within")
    @classmethod
    def _complete(cls, value: dict[Action, Any]) -> dict[Action, Any]:
        if set(value) != set(_TRIED) or min(value.values()) <= 0:
            raise ValueError("must give a positive number for each of reset_device, reboot and replace, and no other")
        return value

    @field_validator("rungs")
    @classmethod
    def _tested(cls, value: dict[Action, tuple[Rung, ...]]) -> dict[Action, tuple[Rung, ...]]:
        for action in (Action.NONE, *_TRIED):
            rungs = value.get(action, ())
            if not rungs or list(rungs) != [rung for rung in Rung if rung in rungs]:
                raise ValueError("must give each of none, reset_device, reboot and replace at least one rung, in order")
        return value

    @field_validator("overrides")
    @classmethod
    def _catalogued(cls, value: dict[str, Override]) -> dict[str, Override]:
        for code in value:
            if code not in faults():
                raise ValueError(f"{code} is not in the fault catalog ## {nearest(code, list(faults()))}")
        return value

    def action(self, fault: Fault) -> Action | None:
        """What is to be done about `fault` the first time; None when nobody says."""
        override = self.overrides.get(fault.code)
        return override.action if override else fault.action


def load_policy(path: Path | None = None) -> Policy:
    """The shipped policy, or the team's file over it. ParameterError names every problem with its file and line."""
    text = files(__package__).joinpath(_DEFAULTS).read_text(encoding="utf-8")
    document = parse(text, _DEFAULTS, ParameterError)
    if path is not None:
        document = read(path, ParameterError).over(document)
    return validate(Policy, document, ParameterError)
