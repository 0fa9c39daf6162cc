"""The peer: Hugging Face `datasets` over the same tokens, read by PyTorch's DataLoader.

    python -m benchmarks.peers.hf_datasets DATASET SEQUENCE_LENGTH SEQUENCES STEPS WORKERS

Packed windows of the same length in an Arrow file, shuffled by `Dataset.shuffle`, as is usual for pretraining. Prints
tokens per second, over the steps after the first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from paceline.data.index import TokenDataset


def rows(directory: str, length: int) -> Iterator[dict[str, Any]]:
    tokens = TokenDataset.open(Path(directory), sequence_length=length, verify=False)
    return ({"tokens": tokens.window(index).astype("int32")} for index in range(tokens.num_windows))


def main(directory: str, length: int, sequences: int, steps: int, workers: int) -> float:
    datasets: Any = import_module("datasets")
    with tempfile.TemporaryDirectory() as cache:
        features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("int32"))})
        source = {"directory": directory, "length": length}
        written = datasets.Dataset.from_generator(rows, features=features, cache_dir=cache, gen_kwargs=source)
        shuffled = written.shuffle(seed=0).with_format("torch")
        loader = DataLoader(shuffled, batch_size=sequences, num_workers=workers, drop_last=True)
        read, started = -1, 0.0
        while read < steps:
            for batch in loader:
                whole = batch["tokens"].to(torch.int64)
                whole[:, :-1].contiguous(), whole[:, 1:].contiguous()
                read += 1
                if read == 0:
                    started = time.perf_counter()
                if read == steps:
                    break
        return steps * sequences * length / (time.perf_counter() - started)


if __name__ == "__main__":
    print(main(sys.argv[1], *map(int, sys.argv[2:6])))
