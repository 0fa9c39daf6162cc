"""Baselines that a fleet learns: robust, comparable only with what is comparable, and never of too few machines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.clients.object_store import DirectoryStore
from paceline.heal.baselines import Baselines, learnt, too_slow
from paceline.heal.policy import load_policy
from paceline.spec.errors import StorageError
from paceline.spec.healing import Measurement

NOW = datetime(2026, 11, 21, tzinfo=UTC)
POLICY = load_policy()
MEASURED = Measurement(
    test="fabric-pair", instance_type="p5.48xlarge", nodes=2, payload=2**30, library="nccl 2.27.7", speed=40,
    fault="deep.fabric_slow",
)  # fmt: skip


def at(speed: float, **update: object) -> Measurement:
    return MEASURED.model_copy(update={"speed": speed, **update})


def fleet(store: DirectoryStore, speeds: list[float]) -> Baselines:
    baselines = Baselines(store, POLICY)
    for number, speed in enumerate(speeds):
        baselines.keep(f"i-{number}", at(speed), True, NOW)
    return baselines


def test_a_machine_is_judged_by_the_others_and_a_new_controller_knows_them(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    fleet(store, [39, 40, 40, 41, 42, 20])
    known = Baselines(store, POLICY).against("i-5", at(20), True)
    assert known is not None
    assert (known.center, known.machines) == (40, 5)
    assert too_slow(20, known, POLICY)
    assert not too_slow(38.5, known, POLICY), "within 5 %"


def test_only_what_is_comparable_is_compared(tmp_path: Path) -> None:
    baselines = fleet(DirectoryStore(tmp_path), [40] * 6)
    for other in (
        at(20, instance_type="p4d.24xlarge"), at(20, nodes=4), at(20, payload=2**24), at(20, library="nccl 2.30.1"),
        at(20, test="fabric-all-reduce"),
    ):  # fmt: skip
        assert baselines.against("i-9", other, True) is None
    assert baselines.against("i-9", at(20), False) is None, "over a spine it may be slower"


def test_too_few_machines_judge_nobody_and_what_scatters_judges_little(tmp_path: Path) -> None:
    assert not too_slow(1, learnt([40] * (POLICY.baseline_machines - 1)), POLICY)
    assert too_slow(1, learnt([40] * POLICY.baseline_machines), POLICY)
    assert not too_slow(30, learnt([30, 35, 40, 45, 50]), POLICY)


@given(st.lists(st.floats(90, 110), min_size=7, max_size=20), st.floats(0.1, 60), st.data())
def test_bad_machines_do_not_move_what_the_others_reach(good: list[float], bad: float, data: st.DataObject) -> None:
    most = (len(good) - 1) // 2
    spoiled = good + [bad] * data.draw(st.integers(0, most // 2))
    assert 90 <= learnt(spoiled).center <= 110


def test_a_machine_counts_once_with_what_it_reached_last_and_is_forgotten(tmp_path: Path) -> None:
    baselines = fleet(DirectoryStore(tmp_path), [40, 41])
    baselines.keep("i-0", at(30), True, NOW)
    assert learnt([30, 41]) == baselines.against("i-9", at(1), True)
    later = NOW + timedelta(seconds=POLICY.remember + 1)
    baselines.keep("i-2", at(50), True, later)
    assert learnt([50]) == baselines.against("i-9", at(1), True)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    fleet(DirectoryStore(tmp_path), [40])
    [file] = list(tmp_path.rglob("*.json"))
    file.write_text("scribble")
    with pytest.raises(StorageError, match="not speeds that this paceline can read"):
        Baselines(DirectoryStore(tmp_path), POLICY).against("i-9", at(1), True)
