"""The peer: the loop that anybody writes, with paceline's model and data and PyTorch's AdamW, on one rank.

    python -m benchmarks.peers.plain_loop DATASET STEPS

No sharding, no metrics but the loss, no ledger, no snapshots. Prints the seconds of every step, one a line.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from paceline.data.index import TokenDataset
from paceline.data.order import SampleOrder
from paceline.models.initialise import initialise
from paceline.models.layers import PlainLayers
from paceline.models.registry import blueprint
from paceline.recipe.load import load
from paceline.train.schedule import learning_rate

RECIPE = "debug-llama"


def main(directory: str, steps: int) -> None:
    recipe = load(RECIPE).recipe
    tokens = TokenDataset.open(Path(directory), sequence_length=recipe.data.sequence_length, verify=False)
    order = SampleOrder(seed=0, num_samples=tokens.num_windows)
    plan = blueprint(recipe.model, tokens.manifest.vocabulary)
    model = plan.build(PlainLayers())
    for name, parameter in model.named_parameters():
        initialise(name, parameter.data, first_row=0, seed=0, std=plan.initializer_range)
    chosen = recipe.optimizer
    adamw = torch.optim.AdamW(model.parameters(), betas=chosen.betas, weight_decay=chosen.weight_decay, fused=True)
    sequences, micro = recipe.sequences_per_step, recipe.batch.micro_sequences
    for step in range(steps):
        started = time.perf_counter()
        for group in adamw.param_groups:
            group["lr"] = learning_rate(recipe.schedule, chosen.learning_rate, step)
        indices = range(step * sequences, (step + 1) * sequences)
        batch = torch.from_numpy(np.stack([tokens.window(order.at(i)[1]) for i in indices]).astype(np.int64))
        for part in torch.split(batch, micro):
            logits = model(part[:, :-1]).flatten(0, 1)
            loss = F.cross_entropy(logits, part[:, 1:].flatten(), reduction="sum") / recipe.batch.tokens
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.gradient_clip)
        adamw.step()
        adamw.zero_grad()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
