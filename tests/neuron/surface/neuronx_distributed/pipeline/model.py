"""A pipeline whose layers are a list that is cut by hand: all passes forward, then all backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from neuronx_distributed.parallel_layers import parallel_state


class NxDPPModel(nn.Module):
    def __init__(
        self,
        module: list[nn.Module],
        transformer_layer_cls: Any = None,
        num_microbatches: int = 1,
        virtual_pipeline_size: int = 1,
        output_loss_value_spec: Any = None,
        return_mb_loss: bool = False,
        broadcast_and_average_loss: bool = False,
        use_zero1_optimizer: bool = False,
        use_model_wrapper: bool = False,
        use_optimizer_wrapper: bool = False,
        pipeline_cuts: list[str] | None = None,
        input_names: list[str] | None = None,
        leaf_module_cls: list[Any] | None = None,
        autowrap_functions: Any = None,
        autowrap_modules: Any = None,
        autowrap_obj_methods: Any = None,
        tracer_cls: Any = None,
        param_init_fn: Any = None,
        trace_file_path: str | None = None,
        return_loss_on_cpu: bool | None = True,
        deallocate_pipeline_outputs: bool = False,
        auto_partition: bool | None = False,
        fuse_microbatches: bool | None = False,
        manual_pp_partition: bool | None = False,
        manual_pp_stage_partition_fn: Callable[..., Any] | None = None,
        manual_pp_loss_fn: Callable[..., Any] | None = None,
        _delay_tracing: bool | None = False,
        _turn_off_odd_even_scheduler: bool | None = False,
        _all_reduce_send_recv: bool | None = False,
        _fused_send_recv: bool | None = False,
        _fused_fwd_bwd: bool | None = False,
        _mark_step_before_pp_runtime: bool | None = True,
        _mark_step_after_pp_runtime: bool | None = True,
        _deallocate_send_tensors: bool | None = True,
        _use_gloo_for_metadata_comm: bool = False,
        _debug_mode: bool = False,
        _debug_pp_size: int = 8,
        _debug_pp_rank: int = 0,
    ) -> None:
        super().__init__()
        assert manual_pp_partition and manual_pp_stage_partition_fn and manual_pp_loss_fn, "the engine cuts by hand"
        self._group = parallel_state.get_pipeline_model_parallel_group()
        stages = manual_pp_stage_partition_fn(module, self._group.size())
        own = [layer for layer in module if stages[layer] == self._group.rank()]
        self.local_stage_modules: list[nn.Module] = [nn.Sequential(*own)]
        self._passes = num_microbatches
        self._loss = manual_pp_loss_fn

    def run_train(self, inputs: Tensor, labels: Tensor) -> Tensor | None:
        """The mean over passes of what the loss function gives, on the last stage; None on the others."""
        [stage], rank, last = self.local_stage_modules, self._group.rank(), self._group.size() - 1
        kept: list[tuple[Tensor, Tensor]] = []
        for given, labels_ in zip(inputs.chunk(self._passes), labels.chunk(self._passes), strict=True):
            entered = given if rank == 0 else self._receive(rank - 1).requires_grad_()
            left = stage([entered] if rank == 0 else entered)
            if rank == last:
                left = self._loss(left[0], labels_)
            else:
                self._send(left.detach(), rank + 1)
            kept.append((entered, left))
        for entered, left in kept:
            if rank == last:
                torch.autograd.backward(left / self._passes)
            else:
                torch.autograd.backward(left, self._receive(rank + 1))
            if rank > 0:
                assert entered.grad is not None
                self._send(entered.grad, rank - 1)
        return torch.stack([loss.detach() for _, loss in kept]).mean() if rank == last else None

    def _send(self, tensor: Tensor, rank: int) -> None:
        to = dist.get_global_rank(self._group, rank)
        shape = torch.tensor([tensor.dim(), *tensor.shape, *[0] * (7 - tensor.dim())])
        dist.send(shape, to)
        dist.send(tensor.contiguous(), to)

    def _receive(self, rank: int) -> Tensor:
        source = dist.get_global_rank(self._group, rank)
        shape = torch.empty(8, dtype=torch.int64)
        dist.recv(shape, source)
        tensor = torch.empty(shape[1 : 1 + int(shape[0])].tolist())
        dist.recv(tensor, source)
        return tensor
