"""The peer: the `Trainer` of transformers, with its own Llama of the same sizes, on the same windows and one rank.

    python -m benchmarks.peers.transformers_trainer DATASET STEPS

Prints the seconds of every step, one a line.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from paceline.data.index import TokenDataset
from paceline.models.families import FAMILIES
from paceline.recipe.load import load

RECIPE = "debug-llama"


class Windows(Dataset[dict[str, torch.Tensor]]):
    def __init__(self, tokens: TokenDataset) -> None:
        self._tokens = tokens

    def __len__(self) -> int:
        return self._tokens.num_windows

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self._tokens.window(index)[:-1].astype("int64"))
        return {"input_ids": ids, "labels": ids}


def main(directory: str, steps: int) -> None:
    transformers: Any = import_module("transformers")
    recipe = load(RECIPE).recipe
    tokens = TokenDataset.open(Path(directory), sequence_length=recipe.data.sequence_length, verify=False)
    family = FAMILIES[recipe.model.family]
    document = family.preset(recipe.model.preset, vocabulary=tokens.manifest.vocabulary).to_hugging_face()
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(document.pop("model_type"), **document), attn_implementation="sdpa"
    )
    chosen = recipe.optimizer

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *given: Any, **more: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *given: Any, **more: Any) -> None:
            print(time.perf_counter() - self.started, flush=True)

    with tempfile.TemporaryDirectory() as output:
        arguments = transformers.TrainingArguments(
            output_dir=output,
            max_steps=steps,
            per_device_train_batch_size=recipe.batch.micro_sequences,
            gradient_accumulation_steps=recipe.sequences_per_step // recipe.batch.micro_sequences,
            learning_rate=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            adam_beta1=chosen.betas[0],
            adam_beta2=chosen.betas[1],
            max_grad_norm=chosen.gradient_clip,
            optim="adamw_torch_fused",
            lr_scheduler_type="cosine",
            warmup_steps=recipe.schedule.warmup_steps,
            save_strategy="no",
            logging_steps=steps,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        transformers.Trainer(model=model, args=arguments, train_dataset=Windows(tokens), callbacks=[Clock()]).train()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
