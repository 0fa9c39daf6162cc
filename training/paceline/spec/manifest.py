"""Manifests: the only proof that a dataset or a checkpoint exists.

A manifest is written last and atomically. Readers trust nothing else: no manifest, a wrong hash or a short file means
that the thing does not exist.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from paceline.spec.base import Record

MANIFEST_NAME = "manifest.json"
LATEST_NAME = "latest.json"
_SEAL = re.compile(rb',\n "seal": "([0-9a-f]{64})"\n}\Z')


class FileRecord(Record):
    """One file beside or below the manifest. `name` is relative to it and cannot lead elsewhere."""

    name: str = Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TokenShard(FileRecord):
    """A flat little-endian array of token ids."""

    tokens: int = Field(ge=1)
    documents: int = Field(ge=1)
    source: str | None = Field(default=None, description="the part of a mixture that the documents belong to")


class SampleFormat(Record):
    """Samples that were laid out in advance, one after the other: each is one sequence of conversations, or the two
    sequences of a preference, of `sequence_length` + 1 tokens. A token that is learned has its highest bit set."""

    method: Literal["sft", "dpo"] = Field(description="sft: conversations; dpo: preferences, also for reward models")
    sequence_length: int = Field(ge=8)
    learned: int = Field(ge=1, description="tokens of answers, in the shards that are trained on")
    left_out: int = Field(ge=0, description="conversations or preferences that were too long")

    @property
    def sequences(self) -> int:
        """Of one sample."""
        return 2 if self.method == "dpo" else 1


class DatasetManifest(Record):
    """A tokenised corpus. `unigram_entropy` is in nats per token over all shards: the loss of a model that knows
    only how frequent each token is.

    In a `mixture`, of every sum-of-all-parts consecutive samples exactly `mixture[source]` come from the shards of that
    source. `held_out` shards are never trained on; `held_out_bytes` is their text in UTF-8.
    """

    format_version: int = 1
    name: str
    created: datetime
    source: str
    documents: int
    characters: int
    tokens: int
    token_bytes: int = Field(description="2 (uint16) or 4 (uint32)")
    vocabulary: int
    unigram_entropy: float
    end_of_text: int | None = Field(default=None, description="the token that ends every document")
    tokenizer: FileRecord
    shards: tuple[TokenShard, ...] = Field(min_length=1)
    mixture: dict[str, int] = Field(default_factory=dict)
    held_out: tuple[TokenShard, ...] = ()
    held_out_bytes: int = 0
    samples: SampleFormat | None = Field(default=None, description="null: windows of text, cut when it is read")

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All that lies beside the manifest."""
        return (self.tokenizer, *self.shards, *self.held_out)

    @property
    def dataset_sha256(self) -> str:
        """The identity of what is trained on: which tokens, in which shards, in which mixture, and the tokenizer that
        made them. Name, date and file names are not part of it, nor is what is held out."""
        lines = [f"paceline.dataset.v1 {self.token_bytes} {self.tokenizer.sha256}"]
        lines += [f"{shard.tokens} {shard.sha256}" for shard in self.shards]
        if self.mixture:
            lines += [f"{shard.source} {self.mixture[str(shard.source)]}" for shard in self.shards]
        if self.samples:
            lines.append(f"{self.samples.method} {self.samples.sequence_length}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class TrainerState(Record):
    """What all ranks agree on after a step, beside the tensors. `ledger` is the hash chain's head after `step`;
    `held_out_loss` is this state's, in nats per token, None where it was not evaluated or is no number."""

    step: int = Field(ge=0, description="optimizer steps done")
    tokens: int = Field(ge=0, description="tokens consumed by the whole run")
    next_index: int = Field(ge=0, description="first sample index that the next step will consume")
    ledger: str = Field(pattern=r"^[0-9a-f]{64}$")
    held_out_loss: float | None = None


class BlockHashes(FileRecord):
    """A file of hashes, of every `block_bytes` of another one (paceline/checkpoint/blocks.py)."""

    block_bytes: int = Field(ge=1)


class CheckpointFile(FileRecord):
    """One rank's shards: a safetensors file whose metadata places every tensor in its logical whole. Without `blocks`,
    as in format version 1, it can only be verified as a whole."""

    rank: int = Field(ge=0)
    blocks: BlockHashes | None = None


class BaseModelRecord(Record):
    """The checkpoint of a model that others start from or stand on: where it lies and which it is."""

    root: str
    step: int
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CheckpointManifest(Record):
    """A committed checkpoint. With an `adapter` it holds what was learned beside `base`, and not the base itself.
    `parent` is the step of the checkpoint this run resumed from, if any.

    An imported model is step 0 of no run: it has no recipe and no order of data.
    """

    format_version: Literal[1, 2] = Field(default=2, description="2: shard files have block hashes")
    run: str
    created: datetime
    step: int
    recipe_sha256: str | None
    image_digest: str | None
    data_order: str | None = Field(description="the ledger's genesis: which data, cut how, in which order")
    world_size: int
    layout: dict[str, int]
    trainer: TrainerState
    files: tuple[CheckpointFile, ...] = Field(min_length=1)
    parent: int | None = None
    model: dict[str, Any] | None = Field(default=None, description="the model's `config.json`, as Hugging Face has it")
    assets: tuple[FileRecord, ...] = Field(default=(), description="files of the model beside its tensors")
    base: BaseModelRecord | None = Field(default=None, description="the model that training started from")
    adapter: dict[str, Any] | None = Field(default=None, description="of the recipe; null: all parameters learned")
    seal: str | None = Field(default=None, description="SHA-256 of the file without this line; none in older ones")

    @property
    def everything(self) -> tuple[FileRecord, ...]:
        """All files beside the manifest."""
        return (*self.files, *(file.blocks for file in self.files if file.blocks is not None), *self.assets)

    @property
    def weights_sha256(self) -> str:
        """The identity of what the files hold."""
        return hashlib.sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    def to_file(self) -> bytes:
        """The file's content, sealed. The seal is over bytes, so that it holds whatever fields later versions have."""
        text = self.model_dump_json(indent=1, exclude={"seal"}).encode()
        return text.removesuffix(b"\n}") + f',\n "seal": "{hashlib.sha256(text).hexdigest()}"\n}}'.encode()

    @classmethod
    def from_file(cls, content: bytes) -> CheckpointManifest:
        """The manifest in a file; ValueError when it is none, or not what was sealed."""
        manifest = cls.model_validate_json(content)
        if manifest.seal is not None:
            found = _SEAL.search(content)
            sealed = b"" if found is None else content[: found.start()] + b"\n}"
            if found is None or hashlib.sha256(sealed).hexdigest().encode() != found[1]:
                raise ValueError("its seal does not match")
        return manifest.model_copy(update={"seal": None})


class LatestPointer(Record):
    """A hint where to look first; never trusted without the manifest it names."""

    step: int
    manifest: str
