"""A GGUF file, the format of llama.cpp, as a Hugging Face directory: dequantised weights, config and tokenizer.

Only Llamas: of other architectures the names and the order of heads are not known here. Format and names:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paceline.checkpoint.convert import Progress
from paceline.checkpoint.dtypes import FLOATS, Array
from paceline.checkpoint.huggingface import CONFIG_NAME, create_weights, write_json
from paceline.models.llama.config import LlamaConfig
from paceline.spec.errors import CheckpointError, Problem

_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_OF_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL = 3  # the type of a token that stands for no text
_INSTEAD = "take the model's safetensors instead"


def convert(source: Path, directory: Path, *, largest_file: int, progress: Progress) -> None:
    """Write the model in the file `source` to the existing `directory`, its weights in float32.

    Raises CheckpointError when it is no GGUF file, no Llama, or not whole.
    """
    metadata, tensors = _read(source)
    config = _config(source, metadata, tied="output.weight" not in tensors)
    sources = {_name(name): tensor for name, tensor in tensors.items()}
    if difference := sorted(config.tensors().keys() ^ sources.keys()):
        raise CheckpointError(f"{source}: {difference[0]}: missing, or not of a Llama", _INSTEAD)
    tokenizer = _tokenizer(source, metadata)
    homes = create_weights(directory, config, FLOATS["float32"], largest_file)
    for number, (name, tensor) in enumerate(sources.items()):
        progress("dequantise", number, len(sources))
        values = _dequantised(tensor)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = _in_halves(values, config.head_dim)
        homes[name].array(name)[...] = values
    progress("dequantise", len(sources), len(sources))
    for file in set(homes.values()):
        file.flush()
    ids = {f"{name}_token_id": metadata[key] for name, key in _special(metadata).items()}
    write_json(directory / CONFIG_NAME, config.to_hugging_face() | ids | {"torch_dtype": "float32"})
    (directory / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_json(directory / "tokenizer_config.json", _tokenizer_config(metadata))


def _read(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata by key and tensors by name; the tensors are mapped, not read."""
    try:
        from gguf import GGUFReader
    except ImportError as cause:
        raise CheckpointError(
            f"{source}: reading GGUF needs the package `gguf`", "pip install 'paceline[gguf]'"
        ) from cause
    try:
        reader = GGUFReader(source)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (OSError, ValueError, IndexError) as cause:
        raise CheckpointError(f"{source}: cannot be read as GGUF: {cause}", "fetch the file again") from cause
    return metadata, {tensor.name: tensor for tensor in reader.tensors}


def _config(source: Path, metadata: dict[str, Any], *, tied: bool) -> LlamaConfig:
    architecture = metadata.get("general.architecture")
    refused = [key for key in ("llama.expert_count", "llama.rope.scaling.type") if metadata.get(key)]
    problems = [Problem(message=f"{source}: {key} is {metadata[key]}: not supported", hint=_INSTEAD) for key in refused]
    if architecture != "llama":
        problems.append(Problem(message=f"{source}: is a `{architecture}`, not a `llama`", hint=_INSTEAD))
    if problems:
        raise CheckpointError.of(problems)
    try:
        hidden, heads = metadata["llama.embedding_length"], metadata["llama.attention.head_count"]
        return LlamaConfig(
            vocab_size=len(metadata["tokenizer.ggml.tokens"]),
            hidden_size=hidden,
            intermediate_size=metadata["llama.feed_forward_length"],
            num_hidden_layers=metadata["llama.block_count"],
            num_attention_heads=heads,
            num_key_value_heads=metadata["llama.attention.head_count_kv"],
            head_dim=metadata.get("llama.rope.dimension_count", hidden // heads),
            max_position_embeddings=metadata["llama.context_length"],
            # stored as float32: the shortest decimal that gives the same float32 is what was meant
            rms_norm_eps=float(str(np.float32(metadata["llama.attention.layer_norm_rms_epsilon"]))),
            rope_theta=metadata["llama.rope.freq_base"],
            tie_word_embeddings=tied,
        )
    except KeyError as cause:
        raise CheckpointError(f"{source}: {cause.args[0]}: missing", _INSTEAD) from cause


def _name(name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`; what is not known stays as it is."""
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _OF_LAYER:
        return f"model.layers.{parts[1]}.{_OF_LAYER[parts[2]]}.{parts[3]}"
    return ".".join((_WHOLE.get(parts[0], parts[0]), *parts[1:]))


def _dequantised(tensor: Any) -> Array:
    from gguf import dequantize

    values: Array = dequantize(tensor.data, tensor.tensor_type)
    return values


def _in_halves(rows: Array, head_dim: int) -> Array:
    """Llama.cpp turns neighbouring rows of a head, Hugging Face those that lie half a head apart."""
    return rows.reshape(-1, head_dim // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _special(metadata: dict[str, Any]) -> dict[str, str]:
    """The special tokens that the file names, and under which key."""
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    keys = {name: f"tokenizer.ggml.{word}_token_id" for name, word in names.items()}
    return {name: key for name, key in keys.items() if key in metadata}


def _tokenizer(source: Path, metadata: dict[str, Any]) -> str:
    """The JSON of a byte-level BPE tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    bytes_of_text = pre_tokenizers.ByteLevel(add_prefix_space=False)
    splitters: dict[str, list[Any]] = {
        "gpt-2": [bytes_of_text],
        "smollm": [pre_tokenizers.Digits(individual_digits=True), bytes_of_text],
    }
    kind, splitter = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or splitter not in splitters:
        raise CheckpointError(f"{source}: its tokenizer, {kind} with {splitter}, is not known", _INSTEAD)
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as cause:  # the library raises bare Exception
        raise CheckpointError(f"{source}: its tokenizer is damaged: {cause}", _INSTEAD) from cause
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splitters[splitter])
    tokenizer.decoder = decoders.ByteLevel()
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    text: str = tokenizer.to_str()
    return text


def _tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens = metadata["tokenizer.ggml.tokens"]
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    config |= {f"{name}_token": tokens[metadata[key]] for name, key in _special(metadata).items()}
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    return config
