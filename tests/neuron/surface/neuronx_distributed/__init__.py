"""Stands in for NeuronX Distributed on a CPU: see README.md beside it."""

from neuronx_distributed.trainer.trainer import (
    initialize_parallel_model,
    initialize_parallel_optimizer,
    neuronx_distributed_config,
)

__all__ = ["initialize_parallel_model", "initialize_parallel_optimizer", "neuronx_distributed_config"]
