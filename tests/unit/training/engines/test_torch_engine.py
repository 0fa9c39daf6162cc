from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from paceline.engines.base import IGNORED, Engine, StepOut
from paceline.engines.torch.engine import TorchEngine
from paceline.models.decoder import DecoderLayer
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.llama.config import LlamaConfig
from paceline.models.llama.model import Llama
from paceline.recipe.schema import Recipe

VOCABULARY = 96
NO_TOTALS = np.zeros(1, dtype=np.int64)
Start = Callable[..., TorchEngine]


@dataclass
class Pass:
    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


def passes(step: int) -> list[Pass]:
    tokens = torch.randint(0, VOCABULARY, (2, 2, 17), generator=torch.Generator().manual_seed(step))
    return [Pass(t[:, :-1], t[:, 1:]) for t in tokens]


def train(engine: Engine, step: int) -> StepOut:
    rate = 1e-3 * (step + 1)
    return engine.train_step(passes(step), learning_rate=rate, totals=NO_TOTALS, before_update=lambda: None)


def copied(engine: Engine) -> dict[str, torch.Tensor]:
    return {name: shard.tensor.clone() for name, shard in engine.state().items()}


def assert_bit_identical(some: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert some.keys() == other.keys()
    assert [name for name in some if not torch.equal(some[name], other[name])] == []


def test_it_trains_like_plain_pytorch(start: Start, recipe: Recipe) -> None:
    engine = start()
    model = Llama(LlamaConfig.preset("debug", vocabulary=VOCABULARY), PlainLayers())
    for name, parameter in model.named_parameters():
        initialise(name, parameter, first_row=0, seed=recipe.seed, std=0.02)
    chosen = recipe.optimizer
    decayed = [p for n, p in model.named_parameters() if not n.endswith("norm.weight")]
    others = [p for n, p in model.named_parameters() if n.endswith("norm.weight")]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, betas=chosen.betas, eps=chosen.epsilon, weight_decay=chosen.weight_decay)
    for step in range(4):
        inputs, targets = (torch.cat([getattr(p, side) for p in passes(step)]) for side in ("inputs", "targets"))
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.gradient_clip)
        for group in adamw.param_groups:
            group["lr"] = 1e-3 * (step + 1)
        adamw.step()
        adamw.zero_grad()
        out = train(engine, step)
        assert out.loss.result() == pytest.approx(loss.item(), rel=1e-5)
        assert out.gradient_norm.result() == pytest.approx(norm.item(), rel=1e-4)
        assert norm > chosen.gradient_clip  # or clipping was not exercised
    state = engine.state()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(state[name].tensor, parameter.detach(), rtol=1e-4, atol=1e-5)


def test_state_is_complete_before_the_first_step(start: Start) -> None:
    engine = start()
    before = {name: (shard.global_shape, shard.offset) for name, shard in engine.state().items()}
    parameters = [name for name in before if not name.startswith("optimizer.")]
    assert len(before) == 4 * len(parameters)
    for name in parameters:
        shape, offset = before[name]
        assert tuple(engine.state()[name].tensor.shape) == shape and set(offset) == {0}
        for kind in ("exp_avg", "exp_avg_sq"):
            assert before[f"optimizer.{kind}.{name}"] == (shape, offset)
        assert before[f"optimizer.step.{name}"] == ((), ())
    train(engine, 0)
    assert {name: (shard.global_shape, shard.offset) for name, shard in engine.state().items()} == before


def test_state_is_live_plain_storage(start: Start) -> None:
    engine = start()
    held, before = engine.state(), copied(engine)
    for shard in held.values():
        assert type(shard.tensor) is torch.Tensor and not shard.tensor.requires_grad and shard.tensor.is_contiguous()
    train(engine, 0)
    assert [name for name, shard in held.items() if torch.equal(shard.tensor, before[name])] == []


def test_a_filled_engine_goes_on_bit_for_bit(start: Start) -> None:
    first = start()
    train(first, 0)
    snapshot = copied(first)
    expected_loss = train(first, 1).loss.result()
    expected = copied(first)
    first.teardown()

    second = start(initialise=False)
    for name, shard in second.state().items():
        shard.tensor.copy_(snapshot[name])
    assert train(second, 1).loss.result() == expected_loss
    assert_bit_identical(copied(second), expected)


def test_before_update_sees_the_state_of_the_step_before(start: Start) -> None:
    engine = start()
    before, seen = copied(engine), {}
    engine.train_step(
        passes(0), learning_rate=1e-2, totals=NO_TOTALS, before_update=lambda: seen.update(copied(engine))
    )
    assert_bit_identical(seen, before)


def test_what_before_update_raises_leaves_the_state_alone(start: Start) -> None:
    engine = start()
    before = copied(engine)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.train_step(passes(0), learning_rate=1e-2, totals=NO_TOTALS, before_update=interrupted)
    assert_bit_identical(copied(engine), before)


def test_totals_of_one_rank_come_back_whole(start: Start) -> None:
    totals = np.array([2**63 - 1, -(2**63), 5], dtype=np.int64)
    out = start().train_step(passes(0), learning_rate=0.0, totals=totals, before_update=lambda: None)
    assert out.totals.dtype == np.int64
    assert out.totals.tolist() == totals.tolist()


def test_rehearsal_leaves_nothing_and_changes_nothing(start: Start, recipe: Recipe) -> None:
    untouched = start()
    expected = copied(untouched), train(untouched, 0).loss.result()
    untouched.teardown()

    engine = TorchEngine()
    engine.rehearse(recipe, VOCABULARY)
    assert not dist.is_initialized()
    start(engine=engine)
    assert_bit_identical(copied(engine), expected[0])
    assert train(engine, 0).loss.result() == expected[1]


def test_rehearsal_builds_no_more_layers_than_it_has_to(recipe: Recipe) -> None:
    """A whole large model has no room beside the one that trains, and would take minutes."""
    ran: set[nn.Module] = set()

    def note(module: nn.Module, given: object, output: object) -> None:
        if isinstance(module, DecoderLayer):
            ran.add(module)

    hook = register_module_forward_hook(note)
    try:
        TorchEngine().rehearse(recipe, VOCABULARY)
    finally:
        hook.remove()
    assert 0 < len(ran) < LlamaConfig.preset(recipe.model.preset).num_hidden_layers


def test_teardown_is_safe_twice_and_before_setup(start: Start) -> None:
    TorchEngine().teardown()
    engine = start()
    engine.teardown()
    engine.teardown()
    assert not dist.is_initialized()


def test_it_evaluates_each_sequence_by_itself_and_learns_nothing(start: Start) -> None:
    engine = start()
    before = copied(engine)
    batch = passes(0)[0]
    wanted = batch.targets.clone()
    wanted[0, :10] = IGNORED
    wanted[1] = IGNORED
    nats = engine.eval_step(Pass(batch.inputs, wanted))
    model = Llama(LlamaConfig.preset("debug", vocabulary=VOCABULARY), PlainLayers())
    for name, parameter in model.named_parameters():
        parameter.data.copy_(before[name])
    logits = model(batch.inputs)[0, 10:]
    assert nats.tolist() == pytest.approx([F.cross_entropy(logits, wanted[0, 10:], reduction="sum").item(), 0.0])
    assert_bit_identical(before, copied(engine))
    train(engine, 0)  # the sharded parameters are back where training wants them


def test_documents_in_a_window_do_not_see_each_other(start: Start) -> None:
    engine = start()
    batch = passes(0)[0]
    documents = torch.zeros_like(batch.inputs)
    documents[:, 8:] = 1
    other = batch.inputs.clone()
    other[:, :8] = 5  # another first document
    wanted = batch.targets.clone()
    wanted[:, :8] = IGNORED
    seen = [engine.eval_step(Pass(inputs, wanted, documents)) for inputs in (batch.inputs, other)]
    apart = [engine.eval_step(Pass(inputs, wanted)) for inputs in (batch.inputs, other)]
    assert seen[0] == pytest.approx(seen[1], rel=1e-6)
    assert abs(apart[0] - apart[1]).min() > 1e-4
