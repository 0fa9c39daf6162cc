"""Evaluation in the loop: held-out loss, bits per byte, and multiple choice.

Bits per byte is the held-out loss in bits, times tokens per byte of the held-out text: it compares models of different
vocabularies. It is exact when all held-out windows are taken, and for a part of them as good as that part is typical.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from paceline.data.index import TokenDataset
from paceline.data.loader import MicroBatch, documents_of, inputs_and_targets
from paceline.engines.base import IGNORED, Engine
from paceline.journal.writer import Journal
from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe
from paceline.spec.events import Activity, EvaluationFinished, PhaseChanged, TaskScore
from paceline.spec.manifest import TrainerState
from paceline.supervise.progress import Phase, Progress
from paceline.train.tasks import Choice, Task, score

Row = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Inputs and targets of one sequence."""


class Evaluation:
    """Evaluates before the first step of a run, as often as the recipe says, and after its last step.

    Every rank computes the part that `layout` gives to its `rank`. Rank 0 writes the result; `speaks` is the rank that
    says what its node does.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        engine: Engine,
        held_out: TokenDataset,
        tasks: Sequence[Task],
        layout: Layout,
        rank: int,
        journal: Journal,
        progress: Progress,
        speaks: bool,
    ) -> None:
        self._recipe = recipe
        self._engine = engine
        self._held_out = held_out
        self._tasks = tasks
        self._sequences = min(recipe.evaluation.sequences, held_out.num_windows)
        self._document_end = held_out.manifest.end_of_text if recipe.data.document_mask else None
        self._rank = rank
        self._part = layout.data_rank(rank)
        self._parts = layout.data_ranks
        self._micro = layout.micro_sequences
        self._journal = journal
        self._progress = progress
        self._speaks = speaks

    def begin(self, trainer: TrainerState) -> None:
        """Before the first step of this generation."""
        if trainer.step == 0:
            self._evaluate(trainer.step)

    def is_due(self, step: int) -> bool:
        """Whether the state after `step` is evaluated."""
        return step % self._recipe.evaluation.every == 0 or step == self._recipe.schedule.steps

    def after_step(self, trainer: TrainerState) -> TrainerState:
        """`trainer`, with the loss of its state; equal on all ranks."""
        return trainer.model_copy(update={"held_out_loss": self._evaluate(trainer.step)})

    def _evaluate(self, step: int) -> float:
        """The held-out loss."""
        started = time.perf_counter()
        if self._speaks:
            self._journal.emit(PhaseChanged, activity=Activity.EVALUATION)
        loss, tokens = self._held_out_loss(step)
        scores = {task.name: self._score(step, task) for task in self._tasks}
        if self._rank == 0:
            manifest, bits_per_byte = self._held_out.manifest, None
            if manifest.samples is None:
                tokens_per_byte = sum(shard.tokens for shard in manifest.held_out) / manifest.held_out_bytes
                bits_per_byte = loss / math.log(2) * tokens_per_byte
            self._journal.emit(
                EvaluationFinished,
                step=step,
                loss=loss,
                tokens=tokens,
                bits_per_byte=bits_per_byte,
                tasks=scores,
                seconds=time.perf_counter() - started,
            )
        if self._speaks:
            self._journal.emit(PhaseChanged, activity=Activity.PRODUCTIVE)
        return loss

    def _held_out_loss(self, step: int) -> tuple[float, int]:
        """Mean nats per token that is learned, and how many of these there are."""
        windows = np.stack([self._held_out.window(index).astype(np.int64) for index in range(self._sequences)])
        all_learned = self._held_out.manifest.samples is None
        inputs, targets = (t.numpy() for t in inputs_and_targets(torch.from_numpy(windows), all_learned=all_learned))
        nats = self._nats(step, list(zip(inputs, targets, strict=True)))
        tokens = int((targets != IGNORED).sum())
        return math.fsum(nats) / tokens, tokens

    def _score(self, step: int, task: Task) -> TaskScore:
        rows = [self._row(choice) for choice in task.choices]
        return score(task, [-nats for nats in self._nats(step, rows)])

    def _row(self, choice: Choice) -> Row:
        """Of what is too long the beginning is left out."""
        ids = np.array([*choice.context, *choice.answer], dtype=np.int64)
        targets = ids[1:].copy()
        targets[: len(choice.context) - 1] = IGNORED
        length = self._held_out.sequence_length
        return ids[:-1][-length:], targets[-length:]

    def _nats(self, step: int, rows: Sequence[Row]) -> list[float]:
        """Of every row; computed by all ranks together, equal on all."""
        per_pass = self._parts * self._micro
        nats: list[float] = []
        for first in range(0, len(rows), per_pass):
            self._progress.write(step=step, phase=Phase.FORWARD_BACKWARD)  # says that it is alive
            begin = first + self._part * self._micro
            nats += self._engine.eval_step(self._batch(rows[begin : begin + self._micro])).tolist()
        return nats[: len(rows)]

    def _batch(self, rows: Sequence[Row]) -> MicroBatch:
        """A pass in the shape of training: `rows`, and padding and sequences that predict nothing."""
        shape = self._micro, self._held_out.sequence_length
        held = torch.zeros(shape, dtype=torch.int64)
        wanted = torch.full(shape, IGNORED, dtype=torch.int64)
        for place, (inputs, targets) in enumerate(rows):
            held[place, : len(inputs)] = torch.from_numpy(inputs)
            wanted[place, : len(targets)] = torch.from_numpy(targets)
        documents = None if self._document_end is None else documents_of(held, self._document_end)
        return MicroBatch(inputs=held, targets=wanted, documents=documents)
