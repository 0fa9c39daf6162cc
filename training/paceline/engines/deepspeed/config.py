"""What a recipe asks for, in DeepSpeed's words (https://www.deepspeed.ai/docs/config-json/)."""

from __future__ import annotations

from typing import Any

from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe


def config(recipe: Recipe, layout: Layout) -> dict[str, Any]:
    """The configuration of one rank. Gradients and sums over ranks are float32, whatever is multiplied."""
    return {
        "train_micro_batch_size_per_gpu": layout.micro_sequences,
        "gradient_accumulation_steps": layout.micro_steps,
        "gradient_clipping": recipe.optimizer.gradient_clip,
        "bf16": {"enabled": recipe.compute.precision == "bfloat16"},
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": recipe.parallelism.zero,
            "offload_optimizer": {"device": recipe.compute.offload, "pin_memory": recipe.compute.offload == "cpu"},
        },
        # PyTorch's AdamW is vectorised on CPUs too; DeepSpeed's would be compiled at first use
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
    }
