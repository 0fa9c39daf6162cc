"""The shape of a decoder, in the names of Hugging Face's `config.json`. No torch: planners and converters read it too.

A family adds its own fields, and says what a checkpoint of it holds. Its sizes that have a name lie in the
`presets.yaml` beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Self

import yaml

from paceline.spec.documents import nearest
from paceline.spec.errors import CheckpointError, Problem, RecipeError

Shapes = dict[str, tuple[int, ...]]
SWIGLU_NAMES = ("gate_proj", "up_proj", "down_proj")
_NOT_TRAINED = "train with a model that needs none of this, or teach the family"


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary positions beyond the length that the model was first trained on."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """How a sparse layer chooses: `normalised` weights of the chosen experts sum to one; `balance` is the weight of
    the load-balance loss of this layer."""

    experts: int
    experts_per_token: int
    normalised: bool
    balance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """Dimensions and constants of one pre-norm decoder with rotary positions, grouped heads and SwiGLU.

    `family` is Hugging Face's `model_type`; `fixed` are keys of `config.json` that the code of the family takes for
    granted; `aliases` are other names that the file may have for fields. A `sliding_window` of W lets a position see
    itself and the W - 1 before it. With `num_labels` the model ends with so many scores instead of logits.
    """

    family: ClassVar[str]
    architecture: ClassVar[str]
    fixed: ClassVar[Mapping[str, Any]] = {"hidden_act": "silu", "attention_dropout": 0.0}
    aliases: ClassVar[Mapping[str, str]] = {}

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02
    num_labels: int | None = None

    def __post_init__(self) -> None:
        assert self.num_attention_heads % self.num_key_value_heads == 0, "key/value heads must share the heads evenly"
        assert self.head_dim % 2 == 0, "rotary embedding turns pairs"

    @classmethod
    def preset(cls, name: str, *, vocabulary: int | None = None) -> Self:
        """The size called `name`, with the dataset's `vocabulary` in place of the published one if given."""
        presets = _presets(cls.__module__.rpartition(".")[0])
        if name not in presets:
            raise RecipeError(f"model.preset: {cls.family} has no preset `{name}`", nearest(name, list(presets)))
        config = cls._of(presets[name])
        return config if vocabulary is None else replace(config, vocab_size=vocabulary)

    @classmethod
    def presets(cls) -> list[str]:
        """The names of the sizes, smallest first."""
        return list(_presets(cls.__module__.rpartition(".")[0]))

    @classmethod
    def from_hugging_face(cls, document: Mapping[str, Any], source: str) -> Self:
        """What a `config.json` says, older or newer than transformers 5; CheckpointError names `source`."""
        known = {key: value for key, value in document.items() if value is not None}
        for alias, name in cls.aliases.items():
            known.setdefault(name, known.get(alias))
        rope = dict(known.get("rope_parameters") or known.get("rope_scaling") or {})
        known["rope_theta"] = rope.pop("rope_theta", known.get("rope_theta"))
        kind = rope.pop("rope_type", rope.pop("type", "default"))
        known["rope_scaling"] = rope if kind == "llama3" else None
        if "ForSequenceClassification" in "".join(known.get("architectures", ())):
            known["num_labels"] = len(known.get("id2label", ()))
        hidden, heads = known.get("hidden_size"), known.get("num_attention_heads")
        if "head_dim" not in known and isinstance(hidden, int) and isinstance(heads, int):
            known["head_dim"] = hidden // heads
        problems = [Problem(message=f"{source}: {what}", hint="complete the file") for what in _incomplete(cls, known)]
        if kind == "llama3":
            lacking = [f"rope_scaling.{what}" for what in _incomplete(RopeScaling, rope)]
            problems += [Problem(message=f"{source}: {what}", hint="complete the file") for what in lacking]
        elif kind != "default":
            problems.append(Problem(message=f"{source}: rope type `{kind}` is not supported", hint=_NOT_TRAINED))
        for key, value in cls.fixed.items():
            if known.get(key, value) != value:
                message = f"{source}: {key}: is {known[key]!r}, {cls.family} is trained with {value!r} only"
                problems.append(Problem(message=message, hint=_NOT_TRAINED))
        if not problems and known["num_attention_heads"] % known["num_key_value_heads"]:
            problems.append(Problem(message=f"{source}: num_key_value_heads does not divide num_attention_heads"))
        if problems:
            raise CheckpointError.of(problems)
        return cls._of({f.name: known[f.name] for f in fields(cls) if known.get(f.name) is not None})

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        scaling = values.get("rope_scaling")
        return cls(**{**values, "rope_scaling": _scaling(scaling) if scaling else None})

    def to_hugging_face(self) -> dict[str, Any]:
        """The `config.json` of this model."""
        architecture, labels = self.architecture, self.num_labels
        scores = {} if labels is None else {"id2label": {str(n): f"LABEL_{n}" for n in range(labels)}}
        if scores:
            architecture = architecture.replace("ForCausalLM", "ForSequenceClassification")
        shape = {name: value for name, value in asdict(self).items() if name != "num_labels"}
        values = {"architectures": [architecture], "model_type": self.family, **self.fixed, **shape, **scores}
        if self.rope_scaling is not None:
            values["rope_scaling"] = {"rope_type": "llama3", **asdict(self.rope_scaling)}
        return values

    def window(self, layer: int) -> int | None:
        """How many positions a position of this layer sees, or None for all up to itself."""
        return None

    def tensors(self) -> Shapes:
        """The logical tensors of a checkpoint: names and shapes of Hugging Face's files, in the model's order."""
        hidden = self.hidden_size
        layer: Shapes = {"input_layernorm.weight": (hidden,)}
        layer |= {f"self_attn.{name}": shape for name, shape in self.attention_tensors().items()}
        layer |= {"post_attention_layernorm.weight": (hidden,)} | self.feed_forward_tensors()
        shapes: Shapes = {"model.embed_tokens.weight": (self.vocab_size, hidden)}
        for index in range(self.num_hidden_layers):
            shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
        shapes["model.norm.weight"] = (hidden,)
        if self.num_labels is not None:
            shapes["score.weight"] = (self.num_labels, hidden)
        elif not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, hidden)
        return shapes

    def attention_tensors(self) -> Shapes:
        """Of one layer, below `self_attn`."""
        hidden = self.hidden_size
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "q_proj.weight": (queries, hidden),
            "k_proj.weight": (keys, hidden),
            "v_proj.weight": (keys, hidden),
            "o_proj.weight": (hidden, queries),
        }

    def feed_forward_tensors(self) -> Shapes:
        """Of one layer, with the name of its module."""
        return _swiglu_tensors("mlp", SWIGLU_NAMES, self.hidden_size, self.intermediate_size)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(map(math.prod, self.tensors().values()))


def _incomplete(kind: type, values: Mapping[str, Any]) -> Iterator[str]:
    """Which fields of the dataclass `kind` are missing or are no numbers in `values`."""
    numbers: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float)}
    for field in fields(kind):
        value = values.get(field.name)
        if value is None and field.default is MISSING:
            yield f"{field.name}: missing"
        elif value is not None and not isinstance(value, numbers.get(str(field.type), object)):
            yield f"{field.name}: is {value!r}, not a number"


def _scaling(values: Mapping[str, Any]) -> RopeScaling:
    return RopeScaling(**{field.name: values[field.name] for field in fields(RopeScaling)})


def sparse_tensors(prefix: str, names: tuple[str, str, str], experts: int, hidden: int, intermediate: int) -> Shapes:
    """Router and experts of one layer, below `prefix`; `names` are those of gate, up and down."""
    shapes: Shapes = {f"{prefix}.gate.weight": (experts, hidden)}
    for expert in range(experts):
        shapes |= _swiglu_tensors(f"{prefix}.experts.{expert}", names, hidden, intermediate)
    return shapes


def _swiglu_tensors(prefix: str, names: tuple[str, str, str], hidden: int, intermediate: int) -> Shapes:
    gate, up, down = (f"{prefix}.{name}.weight" for name in names)
    return {gate: (intermediate, hidden), up: (intermediate, hidden), down: (hidden, intermediate)}


@cache
def _presets(package: str) -> dict[str, dict[str, Any]]:
    text = files(package).joinpath("presets.yaml").read_text(encoding="utf-8")
    presets: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return presets
