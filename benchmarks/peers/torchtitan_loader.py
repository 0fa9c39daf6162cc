"""The peer: torchtitan's loader over the same documents and tokenizer. It tokenises while it is read.

    python -m benchmarks.peers.torchtitan_loader DATASET SEQUENCE_LENGTH SEQUENCES STEPS WORKERS

Prints tokens per second, over the steps after the first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.torchtitan_cpu import write_text
from paceline.data.index import TokenDataset


def main(directory: Path, length: int, sequences: int, steps: int, workers: int) -> float:
    tokenizers: Any = import_module("torchtitan.components.tokenizer")
    texts: Any = import_module("torchtitan.hf_datasets.text_datasets")
    tokens = TokenDataset.open(directory, sequence_length=length, verify=False)
    with tempfile.TemporaryDirectory() as folder:
        assets = Path(folder)
        write_text(tokens, directory, assets)
        config = texts.HuggingFaceTextDataLoader.Config(
            dataset="c4_test", dataset_path=str(assets / "text"), num_workers=workers
        )
        loader = texts.HuggingFaceTextDataLoader(
            config,
            dp_world_size=1,
            dp_rank=0,
            tokenizer=tokenizers.HuggingFaceTokenizer(tokenizer_path=str(assets)),
            seq_len=length,
            local_batch_size=sequences,
        )
        batches = iter(loader)
        next(batches)
        started = time.perf_counter()
        for _ in range(steps):
            next(batches)
        return steps * sequences * length / (time.perf_counter() - started)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), *map(int, sys.argv[2:6])))
