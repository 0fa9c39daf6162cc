"""What a method teaches a model, in one process without supervisors, and what it then says of what it has not seen."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.checkpoint.shard_file import plan
from paceline.checkpoint.snapshot import describe, tensor_at
from paceline.cli.model_files import read_template, read_tokenizer
from paceline.clients.object_store import DirectoryStore
from paceline.data.conversations import read_samples
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader, MicroBatch
from paceline.data.mixture import order_of
from paceline.data.prepare_samples import prepare_samples
from paceline.engines.base import IGNORED, RankContext, Rendezvous
from paceline.engines.torch.engine import TorchEngine
from paceline.models.adapter import learns
from paceline.recipe.schema import Recipe
from paceline.spec.manifest import BaseModelRecord, CheckpointManifest, TrainerState


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """`losses` and `metrics` of every step; `before` and `after` the lesson the nats of every held-out sequence, summed
    over the `tokens` that are answers; the checkpoint after the last step is in `learned`."""

    losses: list[float]
    metrics: list[dict[str, float]]
    tokens: NDArray[np.int64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    learned: CheckpointRepository

    def margins(self, beta: float) -> NDArray[np.float64]:
        """By how much each held-out pair's preferred answer is rewarded above the other, by the definition."""
        rewards = beta * (self.before - self.after)
        margins: NDArray[np.float64] = rewards[0::2] - rewards[1::2]
        return margins


def lay_out(lines: Path, recipe: Recipe, root: Path, output: Path) -> TokenDataset:
    """The dataset of `lines` in the words of the model at `root`."""
    prepare_samples(
        read_samples(str(lines), recipe.method),
        method=recipe.method,
        sequence_length=recipe.data.sequence_length,
        template=read_template(None, str(root)),
        tokenizer=read_tokenizer(str(root), None),
        name=output.name,
        source="the interpreter",
        output=output,
    )
    return TokenDataset.open(output, sequence_length=recipe.data.sequence_length, verify=True)


def teach(recipe: Recipe, dataset: TokenDataset, held_out: TokenDataset, directory: Path) -> Lesson:
    """`recipe` is trained on `dataset` for as many steps as it says; the checkpoint is written into `directory`."""
    assert recipe.model.weights is not None
    model = CheckpointRepository(DirectoryStore(Path(recipe.model.weights)))
    engine = TorchEngine()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        meeting = Rendezvous(host="127.0.0.1", port=port, listen_fd=server.detach())
    vocabulary = dataset.manifest.vocabulary
    engine.setup(recipe, vocabulary, RankContext(rank=0, world_size=1, generation=0, rendezvous=meeting))
    try:
        engine.build(initialise=True)
        _fill(engine, model)
        unseen = list(_unseen(recipe, held_out))
        before = _nats(engine, unseen)
        losses, metrics = [], []
        with _loader(recipe, dataset) as loader:
            for step in range(recipe.schedule.steps):
                out = engine.train_step(
                    loader.step(step).microbatches,
                    learning_rate=recipe.optimizer.learning_rate,
                    totals=np.zeros(1, dtype=np.int64),
                    before_update=lambda: None,
                )
                losses.append(out.loss.result())
                metrics.append({name: metric.result() for name, metric in out.metrics.items()})
                sys.stderr.write(f"{recipe.name} {step} {losses[-1]:.4f} {metrics[-1].get('reward_margin', '')}\n")
        return Lesson(
            losses=losses,
            metrics=metrics,
            tokens=np.concatenate([(batch.targets != IGNORED).sum(dim=1).numpy() for batch in unseen]),
            before=before,
            after=_nats(engine, unseen),
            learned=_save(engine, recipe, model, directory),
        )
    finally:
        engine.teardown()


def _fill(engine: TorchEngine, model: CheckpointRepository) -> None:
    files = model.manifest(0).files
    with engine.frozen() as frozen:
        if frozen:
            fill(frozen, model.contents(0, files))
    state = engine.state().items()
    learned = {name: shard for name, shard in state if not name.startswith("optimizer.") and not learns(name)}
    if learned:
        fill(learned, model.contents(0, files))


def _loader(recipe: Recipe, dataset: TokenDataset) -> Loader:
    return Loader(
        dataset,
        order_of(dataset, 0),
        sequences_per_step=recipe.sequences_per_step,
        rank=0,
        world_size=1,
        micro_sequences=recipe.batch.micro_sequences,
        end_of_text=dataset.manifest.end_of_text if recipe.data.document_mask else None,
    )


def _unseen(recipe: Recipe, held_out: TokenDataset) -> Iterator[MicroBatch]:
    """As many whole steps as it has."""
    with _loader(recipe, held_out) as loader:
        for step in range(held_out.num_windows // recipe.samples_per_step):
            yield from loader.step(step).microbatches


def _nats(engine: TorchEngine, passes: Sequence[MicroBatch]) -> NDArray[np.float64]:
    return np.concatenate([engine.eval_step(batch) for batch in passes])


def _save(engine: TorchEngine, recipe: Recipe, model: CheckpointRepository, directory: Path) -> CheckpointRepository:
    base, steps = model.manifest(0), recipe.schedule.steps
    state = {name: shard for name, shard in engine.state().items() if not name.startswith("optimizer.")}
    layout = plan(describe(name, shard) for name, shard in state.items())
    content = bytearray(layout.total_bytes)
    content[: len(layout.header)] = layout.header
    for shard, start in layout.shards:
        tensor_at(content, shard, start).copy_(state[shard.name].tensor)
    repository = CheckpointRepository(DirectoryStore(directory))
    repository.commit(
        CheckpointManifest(
            run=recipe.name,
            created=datetime.now(UTC),
            step=steps,
            recipe_sha256=None,
            image_digest=None,
            data_order=None,
            world_size=1,
            layout={"dp_shard": 1},
            trainer=TrainerState(step=steps, tokens=0, next_index=0, ledger="0" * 64),
            files=(repository.put_shard(steps, 0, content, generation=0),),
            model=base.model,
            base=BaseModelRecord(root=model.store.uri, step=0, weights_sha256=base.weights_sha256),
            adapter=recipe.adapter and recipe.adapter.model_dump(),
        )
    )
    return repository
