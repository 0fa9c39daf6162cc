"""A run is refused before it starts where its accelerator is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.launch.local.machine import check, check_borrower
from paceline.recipe.load import load
from paceline.spec.errors import LaunchError


@pytest.mark.parametrize(("accelerator", "device"), [("gpu", "nvidiactl"), ("trainium", "neuron0")])
def test_an_accelerator_that_is_not_here_is_named_with_the_cure(tmp_path: Path, accelerator: str, device: str) -> None:
    with pytest.raises(LaunchError) as caught:
        check(load("debug-llama", [f"accelerator={accelerator}"]).recipe, tmp_path)

    [problem] = caught.value.problems
    assert problem.message == f"accelerator {accelerator}: this machine has none (there is no {tmp_path}/dev/{device})"
    assert problem.hint == "train on what it has: --set accelerator=cpu"


def test_with_the_device_the_engine_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "neuron0").touch()

    with pytest.raises(LaunchError, match="engine nxd"):
        check(load("debug-llama", ["accelerator=trainium"]).recipe, tmp_path)


@pytest.mark.parametrize("overrides", [[], ["accelerator=cpu"]])
def test_a_cpu_is_everywhere(tmp_path: Path, overrides: list[str]) -> None:
    check(load("debug-llama", overrides).recipe, tmp_path)


def test_what_spares_are_to_work_at_must_be_a_command_of_this_machine() -> None:
    check_borrower(("sh", "-c", "true"))
    with pytest.raises(LaunchError) as caught:
        check_borrower(("no-such-command", "sh"))

    [problem] = caught.value.problems
    assert problem.message == "--lend no-such-command: there is no such command on this machine"
    assert problem.hint is not None and "PATH" in problem.hint
