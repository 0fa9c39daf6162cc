"""What the planner says of a rank's memory against what the engine's own code makes, in a world of fake peers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.pipelining.schedules import ScheduleInterleavedZeroBubble, _ComputationType
from torch.testing._internal.distributed.fake_pg import FakeStore

from paceline.data.loader import MicroBatch
from paceline.engines.objectives.registry import objective
from paceline.engines.torch.accumulation import Accumulation
from paceline.engines.torch.loss import summed_cross_entropy
from paceline.engines.torch.mesh import Mesh
from paceline.engines.torch.optimizer import ShardedAdamW
from paceline.engines.torch.parallelize import build, build_reference
from paceline.models import lora
from paceline.models.families import FAMILIES
from paceline.models.registry import blueprint
from paceline.plan.activations import Precision, kept
from paceline.plan.layout import Layout, derive
from paceline.plan.memory import memory, passes_under_way, state_bytes
from paceline.recipe.schema import Parallelism, Recipe
from tests.live_tensors import LiveTensors

LLAMA_8B = {"family": "llama", "preset": "llama3.1-8b"}
MASKED = {"document_mask": True}


def recipe(model: dict[str, str], sequences: int = 16, **sections: Any) -> Recipe:
    length = sections.pop("length", 128)
    return Recipe.model_validate(
        {
            "name": "memory",
            "description": "so many bytes",
            "model": model,
            "data": {"sequence_length": length} | sections.pop("data", {}),
            "batch": {"tokens": sequences * length, "micro_sequences": 2},
            "optimizer": {"learning_rate": 1e-3} | sections.pop("optimizer", {}),
            "schedule": {"steps": 1},
            **sections,
        }
    )


@pytest.fixture
def world() -> Iterator[None]:
    """Torn down after the test, in which `join` opens it."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def join(layout: Layout, rank: int = 0) -> Mesh:
    dist.init_process_group("fake", rank=rank, world_size=layout.world_size, store=FakeStore())
    return Mesh.of(layout, "cpu")


def bytes_of(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("model", "parallelism", "optimizer", "stage"),
    [
        (LLAMA_8B, {}, {}, 0),
        (LLAMA_8B, {"dp_replicate": 4}, {"name": "adamw8bit"}, 0),
        (LLAMA_8B, {"tp": 4, "cp": 2, "pp": 8}, {}, 7),
        (LLAMA_8B, {"pp": 4, "stages_per_rank": 2}, {"name": "muon"}, 0),
        ({"family": "qwen2", "preset": "qwen2.5-0.5b"}, {"pp": 2, "tp": 2}, {}, 1),
        ({"family": "mixtral", "preset": "mixtral-8x7b-v0.1"}, {"ep": 8, "tp": 2}, {}, 0),
        ({"family": "qwen3_moe", "preset": "qwen3-30b-a3b"}, {"ep": 16, "pp": 4}, {"name": "adamw8bit"}, 3),
    ],
)
def test_state_of_a_rank_in_a_world_of_1024(
    model: dict[str, str], parallelism: dict[str, Any], optimizer: dict[str, Any], stage: int
) -> None:
    chosen = recipe(model, 8192, parallelism=parallelism, optimizer=optimizer)
    layout = derive(chosen, 1024)
    mesh = join(layout, rank=stage * 1024 // layout.pp)
    config = FAMILIES[chosen.model.family].preset(chosen.model.preset)
    plan = blueprint(chosen.model, config.vocab_size)
    state = ShardedAdamW(build(plan, chosen, mesh, seed=None), chosen.optimizer, plan.sharding).state()
    parameters = bytes_of(shard.tensor for name, shard in state.items() if not name.startswith("optimizer."))
    planned = memory(chosen, layout)[stage]
    assert planned.parameters == planned.gradients == parameters
    moments = bytes_of(s.tensor for n, s in state.items() if n.startswith("optimizer.") and ".step." not in n)
    counters = {s.tensor.data_ptr() for n, s in state.items() if n.startswith("optimizer.step.")}
    assert planned.optimizer == moments + 4 * len(counters)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("preset", "sections"),
    [
        ("llama3.1-8b", {"adapter": {"rank": 16}}),
        ("llama3.1-8b", {"adapter": {"rank": 8, "targets": ["q_proj", "o_proj"]}, "parallelism": {"tp": 4}}),
        ("debug", {"adapter": {"quantize": "nf4"}}),
        ("llama3.1-8b", {"method": "reward"}),
    ],
    ids=str,
)
def test_what_learns_and_what_is_frozen(preset: str, sections: dict[str, Any]) -> None:
    weights = {"weights": "file:///a/model"} if "adapter" in sections else {}
    model = {"family": "llama", "preset": preset} | weights
    chosen = recipe(model, 8192, **({"compute": {"precision": "bfloat16"}} | sections))
    layout = derive(chosen, 1024)
    mesh = join(layout)
    config = FAMILIES["llama"].preset(preset)
    plan = blueprint(chosen.model, config.vocab_size)
    [stage] = build(plan, chosen, mesh, seed=None)
    lora.compress(stage.model)
    codes = bytes_of(buffer for name, buffer in stage.model.named_buffers() if name.endswith((".codes", ".scales")))
    state = ShardedAdamW([stage], chosen.optimizer, plan.sharding).state()
    [planned] = memory(chosen, layout)
    learned = bytes_of(shard.tensor for name, shard in state.items() if not name.startswith("optimizer."))
    assert planned.parameters == planned.gradients == learned
    frozen = bytes_of(parameter.to_local() for _, parameter in stage.frozen())  # type: ignore[attr-defined]
    assert planned.frozen == frozen + codes
    assert learned > 0 and (frozen > 0) == ("adapter" in sections)


@pytest.mark.usefixtures("world")
def test_dpo_holds_the_first_model_beside_the_one_that_learns() -> None:
    model = {"family": "llama", "preset": "llama3.1-8b", "weights": "file:///a/model"}
    chosen = recipe(model, 8192, method="dpo", compute={"precision": "bfloat16"})
    layout = derive(chosen, 1024)
    mesh = join(layout)
    plan = blueprint(chosen.model, FAMILIES["llama"].preset("llama3.1-8b").vocab_size)
    reference = build_reference(plan, chosen, mesh, seed=None)
    [planned] = memory(chosen, layout)
    assert planned.frozen == bytes_of(p.to_local() for _, p in reference.frozen())  # type: ignore[attr-defined]


def test_a_checkpoint_holds_what_learns_and_its_moments() -> None:
    parameters = FAMILIES["llama"].preset("llama3.1-8b").parameters
    whole = state_bytes(recipe(LLAMA_8B))
    assert whole - 12 * parameters == 4 * len(FAMILIES["llama"].preset("llama3.1-8b").tensors())
    beside = recipe(LLAMA_8B | {"weights": "file:///a/model"}, adapter={"rank": 16})
    assert state_bytes(beside) < whole / 100


def forward(chosen: Recipe, mesh: Mesh) -> int:
    """Bytes that a pass keeps for its way back, beside the parameters."""
    vocabulary = FAMILIES[chosen.model.family].preset(chosen.model.preset).vocab_size
    [stage] = build(blueprint(chosen.model, vocabulary), chosen, mesh, seed=0)
    layout, length = mesh.layout, chosen.data.sequence_length
    ids = torch.arange(layout.micro_sequences * length // layout.cp).view(layout.micro_sequences, -1) % vocabulary
    documents = ids // 5 if chosen.data.document_mask else None
    with torch.no_grad():
        stage.model(ids, documents)  # gathers for the first time into what stays
    with LiveTensors() as live:
        loss = summed_cross_entropy(stage.model(ids, documents), ids, mesh.tp, vocabulary=vocabulary)
    assert isinstance(loss, Tensor)
    return live.bytes()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("family", "sections"),
    [
        ("llama", {}),
        ("llama", {"compute": {"activation_checkpointing": "selective"}}),
        ("llama", {"compute": {"activation_checkpointing": "full"}}),
        ("llama", {"compute": {"activation_checkpointing": "full", "checkpoint_every": 2}}),
        ("llama", {"parallelism": {"tp": 2}}),
        ("llama", {"parallelism": {"tp": 2, "sequence_parallel": False}}),
        ("llama", {"parallelism": {"tp": 2}, "compute": {"activation_checkpointing": "selective"}}),
        ("llama", {"parallelism": {"cp": 2}}),
        ("mistral", {"data": MASKED}),
        ("mistral", {"data": MASKED, "parallelism": {"cp": 2}}),
        ("mixtral", {}),
        ("mixtral", {"parallelism": {"tp": 2}}),
        ("mixtral", {"compute": {"activation_checkpointing": "selective"}}),
        ("qwen2", {}),
        ("qwen3", {"parallelism": {"cp": 2, "tp": 2}}),
        ("qwen3_moe", {}),
    ],
    ids=str,
)
def test_activations_of_a_pass(family: str, sections: dict[str, Any], precision: str) -> None:
    """Within five percent: what is left out are indices of a few bytes."""
    compute = sections.get("compute", {}) | {"precision": precision}
    chosen = recipe({"family": family, "preset": "debug"}, 32, **(sections | {"compute": compute}))
    layout = derive(chosen, 8)
    seen = forward(chosen, join(layout))
    config = FAMILIES[family].preset("debug")
    of_device = Precision(activation_bytes=4 if precision == "float32" else 2, fused_norms=False)
    planned = kept(chosen, config, layout, of_device, layers=range(config.num_hidden_layers), last=True)
    assert planned.layers + planned.behind == pytest.approx(seen, rel=0.05)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("rank", range(4))
@pytest.mark.parametrize("schedule", [Schedule1F1B, ScheduleInterleaved1F1B, ScheduleInterleavedZeroBubble])
def test_passes_under_way_are_those_of_the_schedules(rank: int, schedule: Any) -> None:
    local = 1 if schedule is Schedule1F1B else 2
    name = "zero_bubble" if schedule is ScheduleInterleavedZeroBubble else "1f1b"
    chosen = Parallelism.model_validate({"pp": 4, "stages_per_rank": local, "pp_schedule": name})
    dist.init_process_group("fake", rank=rank, world_size=4, store=FakeStore())
    stages = [PipelineStage(nn.Identity(), rank + 4 * n, 4 * local, torch.device("cpu")) for n in range(local)]
    for micro_steps in (4, 8, 20):
        made = schedule(stages[0] if local == 1 else stages, n_microbatches=micro_steps, loss_fn=F.mse_loss)
        held = most = 0
        for action in made._get_pipeline_order()[rank] if local == 1 else made.pipeline_order[rank]:
            if action is None:
                continue
            forward = action.computation_type == _ComputationType.FORWARD
            done = action.computation_type in (_ComputationType.FULL_BACKWARD, _ComputationType.BACKWARD_WEIGHT)
            held += forward - done
            most = max(most, held)
        assert passes_under_way(chosen, micro_steps, rank) == most


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"parallelism": {"tp": 2}},
        {"compute": {"activation_checkpointing": "full"}, "sequences": 16},
    ],
    ids=str,
)
def test_no_step_needs_more_than_the_total(sections: dict[str, Any]) -> None:
    """And it is not far above: what is live at the peak of a step fills most of it."""
    chosen = recipe({"family": "llama", "preset": "debug"}, **({"sequences": 32, "length": 256} | sections))
    layout = derive(chosen, 8)
    mesh = join(layout)
    plan = blueprint(chosen.model, 2048)
    ids = torch.zeros(layout.micro_sequences, 256, dtype=torch.int64)
    batch = MicroBatch(inputs=ids, targets=ids, documents=None)
    stages = build(plan, chosen, mesh, seed=0)
    minimised = objective(chosen)
    passes = Accumulation(stages[0].model, None, mesh, objective=minimised, vocabulary=2048)
    optimizer = ShardedAdamW(stages, chosen.optimizer, plan.sharding)
    with LiveTensors() as live:
        passes.run([batch] * layout.micro_steps, chosen.batch.tokens)
        optimizer.step(learning_rate=0.0, gradient_norm=optimizer.squared_gradient_norm(), gradient_clip=1.0)
    [planned] = memory(chosen, layout, device="cpu")
    assert 0.75 * planned.total <= planned.parameters + planned.optimizer + live.peak <= planned.total
