from __future__ import annotations

from pathlib import Path

import pytest

from paceline.heal.policy import load_policy
from paceline.heal.spares import spares_wanted
from paceline.plan.closed_forms import spares_for
from paceline.spec.errors import ParameterError
from paceline.spec.health import Action


def test_a_teams_file_lies_over_the_shipped_policy(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("breaker_share: 0.1\noverrides:\n  nvidia.xid.94: {action: observe, reason: contained on H100}\n")

    policy = load_policy(file)

    assert policy.breaker_share == 0.1
    assert policy.overrides["nvidia.xid.94"].action is Action.OBSERVE
    assert policy.attempts == load_policy().attempts


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "braker_share: 0.1\nattempts: {reboot: 0}\n"
        "overrides:\n  nvidia.xid.79: {action: rebot, reason: because we say}\n"
    )

    with pytest.raises(ParameterError) as caught:
        load_policy(file)

    text = caught.value.render()
    assert "policy.yaml:1: braker_share: unknown field" in text
    assert "did you mean `breaker_share`?" in text
    assert "policy.yaml:2: attempts: must give a positive number" in text
    assert "policy.yaml:4: overrides.nvidia.xid.79.action: not an action" in text
    assert "did you mean `reboot`?" in text


def test_an_override_of_an_unknown_fault_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("overrides:\n  nvidia.xd.79: {action: reboot, reason: because we say}\n")

    with pytest.raises(ParameterError, match="nvidia.xd.79 is not in the fault catalog"):
        load_policy(file)


def test_byterobusts_spare_counts() -> None:
    """2, 2, 3, 4 machines of 16 GPUs for 2k, 4k, 8k and 16k GPUs (arXiv:2509.16293, P99). The paper does not print the
    probability that a machine is out; all four hold exactly between 0.00117 and 0.00124."""
    for probability in (0.00117, 0.0012, 0.00124):
        assert [spares_for(machines, probability, 0.99) for machines in (128, 256, 512, 1024)] == [2, 2, 3, 4]


def test_the_spare_pool_grows_with_the_fleet() -> None:
    assert spares_for(0, 0.1, 0.99) == 0
    assert spares_for(100, 0.0, 0.99) == 0
    assert spares_for(100_000, 0.5, 0.99) > 50_000  # no underflow
    wanted = [spares_wanted(nodes, load_policy()) for nodes in (1, 8, 128, 2048)]
    assert wanted == sorted(wanted)
    assert wanted[-1] > wanted[0]
