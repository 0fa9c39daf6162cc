"""The blocks of ring attention, without a ring: what they see, and how they are joined."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engines.torch import blocks
from paceline.engines.torch.context_parallel import RingKernel, split
from paceline.engines.torch.mesh import Axis
from paceline.engines.torch.ring_attention import Ring
from paceline.models.kernels import visible

CPU = torch.device("cpu")


@given(ranks=st.integers(2, 5), piece=st.integers(1, 4), window=st.none() | st.integers(1, 45))
def test_the_ring_sees_exactly_what_a_position_may_see(ranks: int, piece: int, window: int | None) -> None:
    length = 2 * ranks * piece
    seen = torch.zeros(length, length, dtype=torch.int64)
    for rank in range(ranks):
        ring = Ring(axis=Axis(size=ranks, rank=rank), piece=piece, window=window)
        own = RingKernel(ring.axis, length).positions(torch.zeros(1, 1))
        for turn in range(ranks):
            source = Axis(size=ranks, rank=ring.source(turn))
            theirs = RingKernel(source, length).positions(torch.zeros(1, 1))
            for mine, other, kind in ring.pairs(turn, CPU):
                block = torch.ones(piece, piece, dtype=torch.int64)
                if isinstance(kind, torch.Tensor):
                    block = kind.long()
                elif kind == "causal":
                    block = block.tril()
                seen[own[mine][:, None], theirs[other]] += block
    at = torch.arange(length)
    assert torch.equal(seen, visible(at[:, None], at, window).long())


def test_ranks_have_as_much_to_do() -> None:
    def work(rank: int) -> float:
        ring = Ring(axis=Axis(size=4, rank=rank), piece=2, window=None)
        kinds = [kind for turn in range(4) for _, _, kind in ring.pairs(turn, CPU)]
        return sum(0.5 if kind == "causal" else 1.0 for kind in kinds)

    assert {work(rank) for rank in range(4)} == {8.0}


def test_a_rank_has_an_early_and_a_late_piece() -> None:
    tokens = torch.arange(16).view(1, 16)
    assert split(tokens, Axis(size=2, rank=1)).tolist() == [[4, 5, 6, 7, 8, 9, 10, 11]]
    assert split(tokens, Axis(size=2, rank=0)).tolist() == [[0, 1, 2, 3, 12, 13, 14, 15]]
    assert torch.equal(split(tokens, Axis()), tokens)


@settings(max_examples=25)
@given(cut=st.integers(1, 11), matrix=st.booleans())
def test_joined_blocks_are_attention_and_so_are_their_gradients(cut: int, matrix: bool) -> None:
    generator = torch.Generator().manual_seed(cut)
    query, key, value, gradient = torch.randn(4, 2, 3, 12, 8, generator=generator)
    inputs = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
    expected = F.scaled_dot_product_attention(*inputs, is_causal=True)
    expected.backward(gradient)
    # the last queries see the keys before `cut` and, causally, those from `cut` on
    mine = slice(cut, 12)
    kinds: list[tuple[slice, blocks.Seen]] = [(mine, "causal"), (slice(0, cut), "all")]
    if matrix:
        at = torch.arange(12)
        kinds = [(other, visible(at[mine][:, None], at[other], None)) for other, _ in kinds]
    output, log_sums = blocks.forward(query[:, :, mine], key[:, :, mine], value[:, :, mine], kinds[0][1])
    for other, kind in kinds[1:]:
        more = blocks.forward(query[:, :, mine], key[:, :, other], value[:, :, other], kind)
        output, log_sums = blocks.join(output, log_sums, *more)
    torch.testing.assert_close(output, expected[:, :, mine].float(), rtol=1e-5, atol=1e-5)
    of_query = torch.zeros_like(output)
    for other, kind in kinds:
        asked = (gradient[:, :, mine], query[:, :, mine], key[:, :, other], value[:, :, other])
        of_query += blocks.backward(*asked, output, log_sums, kind)[0]
    assert inputs[0].grad is not None
    torch.testing.assert_close(of_query, inputs[0].grad[:, :, mine].float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["all", "causal"])
def test_the_kernel_and_the_formula_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value, gradient = torch.randn(4, 1, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for has_flash in (True, False):
        monkeypatch.setattr(blocks, "_has_flash", lambda _, has=has_flash: has)
        output, log_sums = blocks.forward(query, key, value, kind)
        found = blocks.backward(gradient, query, key, value, output, log_sums, kind)
        results.append((output, log_sums, *found))
    for some, other in zip(*results, strict=True):
        torch.testing.assert_close(some, other, rtol=1e-4, atol=1e-5)


def test_a_query_that_sees_nothing_adds_nothing() -> None:
    query, key, value = torch.randn(3, 1, 1, 2, 4, generator=torch.Generator().manual_seed(1))
    seen = torch.tensor([[True, True], [False, False]])
    output, log_sums = blocks.forward(query, key, value, seen)
    assert output[0, 0, 1].tolist() == [0.0] * 4 and log_sums[0, 0, 1] == -math.inf
    kept, _ = blocks.join(torch.ones(1, 1, 2, 4), torch.zeros(1, 1, 2), output, log_sums)
    assert kept[0, 0, 1].tolist() == [1.0] * 4
