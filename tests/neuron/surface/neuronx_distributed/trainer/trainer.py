"""A configuration, a model and an optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch_xla.core.xla_model as xm
from torch.utils.checkpoint import checkpoint

from neuronx_distributed.parallel_layers import parallel_state
from neuronx_distributed.pipeline.model import NxDPPModel
from neuronx_distributed.trainer.model import NxDModel
from neuronx_distributed.trainer.optimizer import NeuronZero1Optimizer, NxDOptimizer


def neuronx_distributed_config(
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    expert_parallel_size: int = 1,
    context_parallel_size: int = 1,
    pipeline_config: dict[str, Any] | None = None,
    optimizer_config: dict[str, Any] | None = None,
    activation_checkpoint_config: Any = None,
    pad_model: bool = False,
    sequence_parallel: bool = False,
    model_init_config: dict[str, Any] | None = None,
    lora_config: Any = None,
    mixed_precision_config: dict[str, Any] | None = None,
    sequential_move_factor: int = 11,
    lnc_size: int = 1,
) -> dict[str, Any]:
    assert optimizer_config is not None and optimizer_config["zero_one_enabled"], "the engine has no other optimizer"
    assert mixed_precision_config is not None
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=tensor_parallel_size,
        pipeline_model_parallel_size=pipeline_parallel_size,
        context_parallel_size=context_parallel_size,
    )
    return {
        "pipeline_parallel_size": pipeline_parallel_size,
        "pipeline_config": pipeline_config,
        "optimizer_config": optimizer_config,
        "sequence_parallel": sequence_parallel,
        "activation_checkpoint_config": activation_checkpoint_config,
        "mixed_precision_config": mixed_precision_config,
    }


def initialize_parallel_model(
    nxd_config: dict[str, Any], model_fn: Any, include_buffers: bool = False, *model_args: Any, **model_kwargs: Any
) -> NxDModel:
    module = model_fn(*model_args, **model_kwargs)
    if nxd_config["pipeline_parallel_size"] > 1:
        module = NxDPPModel(module, **nxd_config["pipeline_config"])
    else:
        module.to(xm.xla_device())
    model = NxDModel(module, nxd_config)
    repeated = nxd_config["activation_checkpoint_config"]
    for layers in model.local_modules() if repeated is not None else []:
        for layer in layers.modules():
            if isinstance(layer, repeated):
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)  # type: ignore[method-assign]
    return model


def initialize_parallel_optimizer(
    nxd_config: dict[str, Any], optimizer_class: Any, parameters: Any, **defaults: Any
) -> NxDOptimizer:
    precise = nxd_config["mixed_precision_config"]["use_fp32_grad_acc"]
    zero = NeuronZero1Optimizer(
        parameters,
        optimizer_class,
        grad_clipping=nxd_config["optimizer_config"]["grad_clipping"],
        sharding_groups=parallel_state.get_zero1_sharding_groups(),
        grad_norm_groups=parallel_state.get_tensor_model_parallel_replica_groups(),
        use_grad_acc_hook=precise,
        higher_cc_precision=precise,
        **defaults,
    )
    return NxDOptimizer(zero, nxd_config)
