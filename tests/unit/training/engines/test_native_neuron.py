"""The preview of engine torch on a Neuron device: only behind its flag, and asked of the right driver."""

from __future__ import annotations

import types

import pytest
import torch

from paceline.engines.torch import process_group
from paceline.plan.neuron import native_problems
from paceline.recipe.load import load
from paceline.spec.errors import RecipeError

NATIVE = ["accelerator=trainium", "engine=torch", "sentinel=null"]


def test_it_is_refused_without_its_flag() -> None:
    with pytest.raises(RecipeError) as refused:
        load("debug-llama", NATIVE)
    [problem] = [p for p in refused.value.problems if "accelerator" in p.message]
    assert "or platform.preview to true" in problem.hint


def test_its_flag_allows_it() -> None:
    resolved = load("debug-llama", [*NATIVE, "platform.preview=true"])
    assert (resolved.recipe.engine, resolved.recipe.accelerator) == ("torch", "trainium")
    assert list(native_problems(resolved.recipe)) == []


def test_shapes_that_are_not_whole_tiles_are_refused_with_the_nearest() -> None:
    resolved = load("debug-tiny", [*NATIVE, "platform.preview=true"])  # 64 positions
    [problem] = native_problems(resolved.recipe)
    assert problem.hint == "set data.sequence_length to 128"


def test_shapes_that_may_differ_are_refused() -> None:
    resolved = load("debug-llama", [*NATIVE, "platform.preview=true", "compute.static_shapes=false"])
    [problem] = native_problems(resolved.recipe)
    assert problem.hint == "set compute.static_shapes to true"


def test_nothing_is_compiled_ahead_where_nothing_reads_it() -> None:
    with pytest.raises(RecipeError) as refused:
        load("debug-llama", [*NATIVE, "platform.preview=true", "platform.compile_ahead=true"])
    [problem] = refused.value.problems
    assert problem.hint == "set platform.compile_ahead to false, or engine to nxd"


def test_objects_go_by_gloo_on_a_neuron_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, chosen = [], []
    driver = types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 4, set_device=chosen.append)
    monkeypatch.setattr(torch, "neuron", driver, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(process_group.dist, "init_process_group", lambda backend, **_: opened.append(backend))
    assert process_group.join_alone() == "neuron"
    assert (opened, chosen) == (["cpu:gloo,neuron:neuron"], [0])
