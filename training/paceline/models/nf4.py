"""Weights in 4 bits: NormalFloat (Dettmers et al., 2023, "QLoRA", section 3).

Each block of 64 weights along the input features is divided by its largest magnitude, and every weight becomes the
nearest of 16 numbers that a normal distribution hits equally often. With a float32 per block that is 4.5 bits a weight;
the paper's second quantisation, of these scales, is not done.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 64
# Dettmers et al., appendix E
CODE_BOOK = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of `weight` [out, in] the codes, two a byte, [out, 32 n] uint8, and the scales [out, n] float32, for n blocks."""
    rows, columns = weight.shape
    blocks = F.pad(weight.float(), (0, -columns % BLOCK)).view(rows, -1, BLOCK)
    scales = blocks.abs().amax(dim=-1)
    normed = blocks / scales.clamp(min=torch.finfo(torch.float32).tiny).unsqueeze(-1)
    book = torch.tensor(CODE_BOOK, device=weight.device)
    codes = torch.bucketize(normed, (book[1:] + book[:-1]) / 2).to(torch.uint8).view(rows, -1, 2)
    return codes[..., 0] << 4 | codes[..., 1], scales


def dequantise(codes: Tensor, scales: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
    """The weights [out, columns] that `quantise` made `codes` and `scales` of, each the nearest that has a code."""
    book = torch.tensor(CODE_BOOK, device=codes.device)
    pairs = torch.stack((codes >> 4, codes & 0xF), dim=-1).int()
    blocks = book[pairs].view(*scales.shape, BLOCK) * scales.unsqueeze(-1)
    return blocks.flatten(1)[:, :columns].to(dtype)


def linear(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """[..., in] -> [..., out]. The weights exist only while they are multiplied, forward and backward."""
    product: Tensor = _Product.apply(x, codes, scales)  # type: ignore[no-untyped-call]
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(codes, scales)
        ctx.columns = x.shape[-1]
        return F.linear(x, dequantise(codes, scales, x.shape[-1], x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        codes, scales = ctx.saved_tensors
        return gradient @ dequantise(codes, scales, ctx.columns, gradient.dtype), None, None
