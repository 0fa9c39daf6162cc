"""How a node stands: what is wrong with it now, put together from what every check said last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from paceline.catalog.checks import limit
from paceline.catalog.faults import fault
from paceline.spec.health import Action, Device, Finding, Result

_Key = tuple[str, str | None, Device | None]


def calls_for(finding: Finding) -> Action:
    """What the catalog says to do about a finding. Only a failure calls for anything."""
    if finding.result is not Result.FAIL or finding.fault is None:
        return Action.NONE
    return fault(finding.fault).action or Action.OBSERVE


class Standing:
    """The newest findings of a node. A state (a missing GPU) holds until its check no longer finds it; something that
    happened (an XID) for as long as a first look at the kernel log goes back."""

    def __init__(self) -> None:
        self._by_check: dict[str, list[Finding]] = {}
        self._happened: dict[_Key, Finding] = {}

    def take(self, check: str, findings: list[Finding], *, happened: bool) -> list[Finding]:
        """Note what `check` said; the failures that did not stand before. `happened` says of which kind they are."""
        known = {_key(finding) for finding in self.failures()}
        failures = [finding for finding in findings if finding.result is Result.FAIL]
        if happened:
            self._happened.update((_key(finding), finding) for finding in failures)
            findings = [finding for finding in findings if finding.result is not Result.FAIL]
        self._by_check[check] = findings
        # what happened again is news each time, what still is so is not
        return [finding for finding in failures if happened or _key(finding) not in known]

    def forget(self, before: datetime | None = None) -> bool:
        """Drop what happened before a time, or all of it: somebody has repaired the node. Whether there was any."""
        kept = {key: f for key, f in self._happened.items() if before is not None and f.time >= before}
        dropped = len(kept) < len(self._happened)
        self._happened = kept
        return dropped

    def expire(self, now: datetime) -> bool:
        """Drop what happened too long ago to say anything about the node. Whether there was any."""
        return self.forget(now - timedelta(seconds=limit("kernel_lookback_s")))

    def failures(self) -> list[Finding]:
        """All that is wrong, the worst first."""
        standing = [f for findings in self._by_check.values() for f in findings if f.result is Result.FAIL]
        return sorted((*self._happened.values(), *standing), key=lambda f: (-calls_for(f), f.time))

    def unknown(self) -> list[Finding]:
        """What nobody can say at the moment."""
        return [f for findings in self._by_check.values() for f in findings if f.result is Result.UNKNOWN]

    def noted(self) -> list[dict[str, Any]]:
        """All that did not pass, as JSON for the healer: a state carries the time of its last look."""
        return [finding.model_dump(mode="json", exclude_none=True) for finding in (*self.failures(), *self.unknown())]

    def unfit(self) -> Finding | None:
        """The worst finding because of which the node should leave its job."""
        return next((finding for finding in self.failures() if calls_for(finding).takes_node), None)


def worst(findings: Iterable[Finding]) -> tuple[Result, Action]:
    """The result of several findings, and the most that they call for: a failure before an unknown before a pass."""
    findings = list(findings)
    results = {finding.result for finding in findings}
    order = (Result.FAIL, Result.UNKNOWN, Result.PASS)
    result = next((result for result in order if result in results), Result.PASS)
    return result, max((calls_for(finding) for finding in findings), default=Action.NONE)


def _key(finding: Finding) -> _Key:
    return finding.check, finding.fault, finding.device
