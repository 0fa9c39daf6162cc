"""First values of parameters: a function of (seed, name, position) and of nothing else.

Every block of `ROWS` rows of every matrix has its own generator, seeded by a hash of (seed, name, block). A rank that
holds some rows makes only the blocks these lie in, so the values do not depend on the order of the parameters, on how
they are sharded or over how many ranks, and no rank ever holds a whole matrix for it.
"""

from __future__ import annotations

import hashlib

import torch

ROWS = 1024


@torch.no_grad()
def initialise(
    name: str,
    local: torch.Tensor,
    *,
    first_row: int,
    seed: int,
    std: float,
    first_column: int = 0,
    columns: int | None = None,
) -> None:
    """Fill `local` in place: the block of parameter `name` that begins at `first_row` and `first_column`.

    The whole parameter has `columns`, by default those of `local`.

    Vectors become ones (scales of norms) or zeros (biases); matrices are drawn from N(0, std^2), as Hugging Face does
    for these families.
    """
    if local.dim() < 2:
        local.fill_(0.0 if name.endswith(".bias") else 1.0)
        return
    width = local.shape[1] if columns is None else columns
    last_row = first_row + local.shape[0]
    for block in range(first_row // ROWS, -(-last_row // ROWS)):
        values = torch.empty(ROWS, width).normal_(0.0, std, generator=_generator(seed, name, block))
        begin, end = max(block * ROWS, first_row), min((block + 1) * ROWS, last_row)
        rows = values[begin - block * ROWS : end - block * ROWS]
        local[begin - first_row : end - first_row].copy_(rows[:, first_column : first_column + local.shape[1]])


def _generator(seed: int, name: str, block: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/{block}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
