from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.heal.fleets.notes import parsed, read_answer, read_case, read_findings
from paceline.spec.healing import Phase
from paceline.spec.health import Result


@pytest.mark.parametrize("plain", ["garbage", 7, [], {"id": "of another version"}])
def test_an_unreadable_incident_keeps_the_node_out(plain: Any) -> None:
    case = read_case("n1", plain)
    assert case is not None
    assert case.phase is Phase.ISOLATED


@given(st.text() | st.binary())
def test_nothing_that_is_written_on_a_node_ends_the_healer(text: str | bytes) -> None:
    plain = parsed(text)
    read_case("n1", plain)
    read_answer(plain)
    assert all(finding.result is Result.UNKNOWN for finding in read_findings("n1", plain))


def test_nothing_written_is_nothing() -> None:
    assert (read_case("n1", parsed(None)), read_answer(parsed("")), read_findings("n1", None)) == (None, None, ())
