from __future__ import annotations

import pytest

from paceline.catalog.faults import fault, faults
from paceline.spec.errors import ParameterError
from paceline.spec.health import Action, FaultClass


def test_a_fault_carries_its_makers_action_and_who_said_it() -> None:
    row = fault("nvidia.xid.79")

    assert row.fault_class is FaultClass.DEVICE
    assert row.action is Action.REBOOT
    assert row.others["nvidia"] == "RESTART_BM"
    assert any("Xid-Catalog.xlsx" in source for source in row.sources)


def test_what_the_maker_says_nothing_about_has_no_action() -> None:
    assert fault("nvidia.xid.172").action is None


def test_a_group_gives_each_of_its_codes_a_row() -> None:
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
