"""The model that users train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neuronx_distributed.pipeline.model import NxDPPModel


class NxDModel(nn.Module):
    def __init__(self, module: Any, nxd_config: dict[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.nxd_config = nxd_config

    def run_train(self, *args: Any, **kwargs: Any) -> Tensor | None:
        if isinstance(self.module, NxDPPModel):
            return self.module.run_train(*args, **kwargs)
        loss: Tensor = self.module(*args, **kwargs)
        torch.autograd.backward(loss)
        return loss

    def local_modules(self) -> list[nn.Module]:
        return self.module.local_stage_modules if isinstance(self.module, NxDPPModel) else [self.module]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)
