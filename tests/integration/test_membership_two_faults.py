"""Every state of two nodes that may also train alone, with two faults of any kinds at any points."""

from __future__ import annotations

import pytest

from tests.membership.search import explore
from tests.membership.world import Scene


@pytest.mark.integration
def test_no_state_after_two_faults_has_two_generations_that_train_or_is_stuck() -> None:
    explored = explore(Scene(nodes=2, sizes=(2, 1), faults=2))
    assert explored.stuck == []
    assert explored.worlds == 88_147
