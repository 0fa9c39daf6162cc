"""The cells of the parity certificate, out of certificate.yaml: recipes, the batches of their steps, engines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml

from paceline.engines.base import IGNORED
from paceline.models import config
from paceline.plan import neuron
from paceline.recipe.schema import Recipe

_FILE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("certificate.yaml").read_text(encoding="utf-8"))
ENGINES: dict[str, dict[str, Any]] = _FILE["engines"]
CHAIN: dict[str, Any] = _FILE["chain"]
FAMILY = next(iter(_FILE["families"]))
"""Of the run that changes its engine."""
VOCABULARY: int = _FILE["sizes"]["vocab_size"]
STANDARD_DEVIATION: float = _FILE["sizes"]["initializer_range"]
STEPS: int = _FILE["recipe"]["schedule"]["steps"]


@dataclass
class Pass:
    """A pass of two sequences, or of one pair."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A recipe."""

    family: str
    method: str

    def __str__(self) -> str:
        return f"{self.family}-{self.method}"

    @property
    def written(self) -> dict[str, Any]:
        """What the recipe says, whichever engine runs it."""
        needs_base = self.method in ("lora", "dpo")
        model = {"family": self.family, "preset": "tiny", "weights": "canonical" if needs_base else None}
        return {"name": str(self), "model": model, **_FILE["recipe"], **_FILE["methods"][self.method]}

    @property
    def version(self) -> str:
        """SHA-256 of the recipe and of the model that its preset means."""
        said = json.dumps([self.written, _sizes(self.family)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()

    def recipe(self, engine: str) -> Recipe:
        return Recipe.model_validate(self.written | ENGINES[engine]["recipe"])

    def passes(self, step: int) -> list[Pass]:
        """The global batch of a step. But in pre-training, answers differ in length, so that ranks have different
        numbers of targets."""
        chosen = self.recipe("torch")
        length, sequences = chosen.data.sequence_length, chosen.sequences_per_step
        generator = torch.Generator().manual_seed(step)
        tokens = torch.randint(0, VOCABULARY, (sequences, length + 1), generator=generator)
        targets = tokens[:, 1:].clone()
        for row in range(sequences if self.method != "pretrain" else 0):
            targets[row, : 2 + row] = IGNORED
            targets[row, length - 1 - row % 3 :] = IGNORED
        micro = chosen.batch.micro_sequences
        return [Pass(*parts) for parts in zip(tokens[:, :-1].split(micro), targets.split(micro), strict=True)]


CELLS = [Cell(family=family, method=method) for family, method in product(_FILE["families"], _FILE["methods"])]


def use_tiny_models() -> None:
    """In this process the families have the one preset `tiny`, which the tiles of Neuron's kernels need not fit."""
    config._presets = lambda package: {"tiny": _sizes(package.rpartition(".")[2])}
    neuron.FLASH_TILE = _FILE["recipe"]["data"]["sequence_length"]
    neuron.tp_degrees = lambda recipe: (1, 2)


def _sizes(family: str) -> dict[str, Any]:
    return {**_FILE["sizes"], **_FILE["families"][family]}
