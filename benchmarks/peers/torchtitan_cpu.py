"""The peer: torchtitan 0.3.0 on one CPU rank, its Llama 3 in the sizes of ours, on the same text and tokenizer.

    python -m benchmarks.peers.torchtitan_cpu DATASET STEPS

torchtitan is written for accelerators. What it lacks on a CPU is added from outside, and nothing of it slows it down: a
device module (torch.cpu has only a part), scaled_dot_product_attention in place of FlexAttention (which has no backward
on CPU; documents then see each other, as in ours), a `set_timeout` that torch 2.13 does not have yet, and sums in gloo.
Activation checkpointing, validation and checkpoints are off. Its loader tokenises while it trains, which is the price
of its design and small beside a step. Prints the seconds of every step, one a line.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.fsdp import FSDPModule

from paceline.data.index import TokenDataset
from paceline.data.tokenizer import END_OF_TEXT, TextTokenizer
from paceline.models.families import FAMILIES
from paceline.recipe.load import load

RECIPE = "debug-llama"


class _CpuModule(types.ModuleType):
    """torch.cpu with what an accelerator's module has besides."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)


def adapt() -> None:
    """Make torchtitan run on a CPU."""
    device: Any = _CpuModule("cpu_module")
    device.set_device = device.synchronize = device.reset_peak_memory_stats = device.empty_cache = lambda *a: None
    device.current_device, device.device_count = (lambda: 0), (lambda: 1)
    device.get_device_name = lambda *a: "CPU"
    device.get_device_properties = lambda *a: types.SimpleNamespace(total_memory=1 << 34, name="CPU")
    device.memory_stats = lambda *a: {}
    device.manual_seed = torch.manual_seed
    device.memory = types.SimpleNamespace(_record_memory_history=lambda *a, **more: None)
    tools: Any = import_module("torchtitan.tools.utils")
    tools.device_type, tools.device_module, tools.get_local_device = "cpu", device, lambda: torch.device("cpu")
    if not hasattr(dist, "set_timeout"):
        setattr(dist, "set_timeout", lambda *a, **more: None)  # noqa: B010 - mypy knows no such attribute
    set_factor = FSDPModule.set_gradient_divide_factor

    def set_factor_and_sum(module: FSDPModule, factor: float) -> None:
        module.set_force_sum_reduction_for_comms(True)
        set_factor(module, factor)

    setattr(FSDPModule, "set_gradient_divide_factor", set_factor_and_sum)  # noqa: B010 - the same

    def attend(query: Any, key: Any, value: Any, *, scale: Any = None, enable_gqa: bool = False, **more: Any) -> Any:
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=enable_gqa)
        return mixed, types.SimpleNamespace(lse=None)

    attention: Any = import_module("torchtitan.models.common.attention")
    attention.FlexAttention.compiled_flex_attn = staticmethod(attend)


def write_text(tokens: TokenDataset, directory: Path, assets: Path) -> None:
    """The documents of our dataset as `c4_test` has them, and our tokenizer."""
    manifest = tokens.manifest
    content = (directory / manifest.tokenizer.name).read_bytes()
    (assets / "tokenizer.json").write_bytes(content)
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "tokenizer_class": "PreTrainedTokenizerFast"}
    (assets / "tokenizer_config.json").write_text(json.dumps(special))
    tokenizer = TextTokenizer.load(content, "tokenizer")
    (assets / "text").mkdir()
    with (assets / "text" / "data.json").open("w") as file:
        for shard in manifest.shards:
            ids = np.fromfile(directory / shard.name, dtype=f"<u{manifest.token_bytes}")
            for document in np.split(ids, np.flatnonzero(ids == tokenizer.end_of_text) + 1):
                file.write(json.dumps({"text": tokenizer.decode(document[:-1].tolist())}) + "\n")


def main(directory: Path, steps: int) -> None:
    recipe = load(RECIPE).recipe
    tokens = TokenDataset.open(directory, sequence_length=recipe.data.sequence_length, verify=False)
    sizes = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=tokens.manifest.vocabulary)
    adapt()
    llama: Any = import_module("torchtitan.models.llama3")
    registry: Any = import_module("torchtitan.models.llama3.config_registry")
    datasets: Any = import_module("torchtitan.hf_datasets.text_datasets")
    debug = llama._debugmodel

    def in_our_sizes(attn_backend: str, *given: Any, **more: Any) -> Any:
        config = debug(attn_backend, *given, **more)
        rope = config.layers[0].attention.rope
        rope = type(rope)(dim=sizes.head_dim, max_seq_len=sizes.max_position_embeddings, theta=sizes.rope_theta)
        config.layers = llama._build_llama3_layers(
            fuse_qkv=True,
            n_layers=sizes.num_hidden_layers,
            dim=sizes.hidden_size,
            n_heads=sizes.num_attention_heads,
            n_kv_heads=sizes.num_key_value_heads,
            hidden_dim=sizes.intermediate_size,
            rope=rope,
            attn_backend=attn_backend,
        )
        return config

    llama.llama3_configs["debugmodel"] = in_our_sizes
    with tempfile.TemporaryDirectory() as folder:
        assets = Path(folder)
        write_text(tokens, directory, assets)
        datasets.DATASETS["c4_test"].path = str(assets / "text")
        config = registry.llama3_debugmodel()
        config.hf_assets_path = str(assets)
        config.dump_folder = str(assets / "out")
        config.activation_checkpoint = None
        config.checkpoint.enable = config.validator.enable = False
        config.training.local_batch_size = recipe.batch.micro_sequences
        config.training.global_batch_size = recipe.sequences_per_step
        config.training.seq_len = recipe.data.sequence_length
        config.training.steps = steps
        config.training.mixed_precision_param = "float32"
        config.training.disable_cuda_graphs = True
        config.metrics.log_freq = steps
        config.parallelism.spmd_backend = "partial_dtensor"
        trainer = config.build()
        step = trainer.train_step

        def timed(*given: Any, **more: Any) -> None:
            started = time.perf_counter()
            step(*given, **more)
            print(time.perf_counter() - started, flush=True)

        trainer.train_step = timed
        trainer.train()
        trainer.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    main(Path(sys.argv[1]), int(sys.argv[2]))
