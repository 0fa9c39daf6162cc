from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import paceline.catalog.faults
from paceline.catalog.faults import fault, faults, patterns
from paceline.spec.errors import ParameterError
from paceline.spec.health import Action, FaultClass

_TABLES = Path(paceline.catalog.faults.__file__).parent


def test_a_fault_carries_its_makers_action_and_who_said_it() -> None:
    row = fault("nvidia.xid.79")

    assert row.fault_class is FaultClass.DEVICE
    assert row.action is Action.REBOOT
    assert row.others["nvidia"] == "RESTART_BM"
    assert any("Xid-Catalog.xlsx" in source for source in row.sources)


def test_what_the_maker_says_nothing_about_has_no_action() -> None:
    assert fault("nvidia.xid.172").action is None


def test_the_repair_of_a_switch_depends_on_its_code() -> None:
    assert fault("nvidia.sxid.11004").escalation is Action.REPLACE
    assert fault("nvidia.sxid.10001").action is Action.OBSERVE


def test_every_row_has_a_source_and_never_escalates_to_less() -> None:
    for row in faults().values():
        assert row.sources, row.code
        if row.action is not None and row.action.takes_node:
            assert row.escalation is not None, row.code
            assert row.escalation > row.action or row.escalation is Action.ISOLATE, row.code


def test_no_escalation_without_an_action() -> None:
    assert [row.code for row in faults().values() if row.action is None and row.escalation is not None] == []


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(ParameterError) as caught:
        fault("nvidia.xid.7900")

    assert "nvidia.xid.7900: not a fault of the catalog" in str(caught.value)


def test_a_row_has_one_table_and_a_pattern_compiles() -> None:
    tables = [yaml.safe_load(path.read_text()) for path in sorted(_TABLES.glob("*.yaml"))]
    codes = [f"{table['prefix']}.{row['code']}" for table in tables for row in table["faults"]]

    assert sorted(codes) == sorted(faults())
    assert len(codes) == len(set(codes))
    assert {row.code for _, row in patterns("neuron")} >= {"neuron.dma_error", "neuron.hbm_uncorrectable"}


def test_all_that_dcgm_says_can_be_told_apart_from_nothing() -> None:
    for expression, row in patterns("dcgm"):
        assert not expression.search(""), row.code
