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
def initialise(name: str, local: torch.Tensor, *, first_row: int, seed: int, std: float) -> None:
    """Fill `local`, the rows of parameter `name` from `first_row` on, in place.

    Vectors become ones (scales of norms) or zeros (biases); matrices are drawn from N(0, std^2), as Hugging Face does
    for these families.
    """
    if local.dim() < 2:
        local.fill_(0.0 if name.endswith(".bias") else 1.0)
        return
    last_row = first_row + local.shape[0]
    for block in range(first_row // ROWS, -(-last_row // ROWS)):
        values = torch.empty(ROWS, *local.shape[1:]).normal_(0.0, std, generator=_generator(seed, name, block))
        begin, end = max(block * ROWS, first_row), min((block + 1) * ROWS, last_row)
        local[begin - first_row : end - first_row].copy_(values[begin - block * ROWS : end - block * ROWS])


def _generator(seed: int, name: str, block: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/{block}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
