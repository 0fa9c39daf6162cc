from __future__ import annotations

import random

import pytest

from paceline.catalog.failure_rates import failure_rates
from paceline.simulate.failures import Failure, Failures
from paceline.simulate.scenario import Scenario

TABLE = failure_rates()
DAY = 86400.0


def failures(nodes: int = 100, **given: object) -> Failures:
    usual: dict[str, object] = {
        "nodes": nodes,
        "days": 1.0,
        "spares": 0,
        "per_1000_node_days": 100.0,
        "recovery": TABLE.recoveries["one-minute"],
        "replace": (1, 1),
        "seed": 0,
    }
    return Failures(nodes, Scenario.model_validate(usual | given), TABLE, random.Random(7))


def within(source: Failures, days: float) -> list[Failure]:
    found = [source.next()]
    while found[-1].at < days * DAY:
        found.append(source.next())
    return found[:-1]


def test_they_come_in_order_at_the_given_rate() -> None:
    found = within(failures(), 200)
    assert [f.at for f in found] == sorted(f.at for f in found)
    assert len(found) == pytest.approx(2000, rel=0.07)  # 100 nodes, 200 days, a tenth a day


def test_new_machines_fail_oftener_until_they_are_old() -> None:
    found = within(failures(infant_factor=5.0, infant_days=50.0), 100)
    young = sum(1 for f in found if f.at < 50 * DAY)
    assert young / (len(found) - young) == pytest.approx(5.0, rel=0.2)


def test_a_machine_that_failed_fails_sooner_and_another_one_in_its_place_does_not() -> None:
    def count(renewing: bool) -> int:
        source, number = failures(repeat_factor=1.3), 0
        while (failure := source.next()).at < 60 * DAY:
            number += 1
            if renewing:
                source.renew(failure.places[0], failure.at)
        return number

    assert count(renewing=True) == pytest.approx(600, rel=0.12)
    assert count(renewing=False) > 1.3 * count(renewing=True)


def test_the_published_factor_leads_from_the_first_incident_to_the_twentieth() -> None:
    rows = TABLE.repeat_offenders
    assert rows.first_hours / rows.factor**19 == pytest.approx(rows.last_hours)


def test_a_switch_takes_all_behind_it() -> None:
    found = [f for f in within(failures(correlated=0.5), 20) if f.cause.name == "switch"]
    assert {f.places for f in found} == {
        tuple(range(32)),
        tuple(range(32, 64)),
        tuple(range(64, 96)),
        (96, 97, 98, 99),
    }


def test_false_alarms_come_at_their_own_rate() -> None:
    found = within(failures(false_alarms=100.0), 200)
    assert sum(not f.real for f in found) == pytest.approx(2000, rel=0.07)
