"""Activation checkpointing: on a CPU there is nothing to do otherwise than PyTorch does."""

from torch.utils.checkpoint import checkpoint

__all__ = ["checkpoint"]
