"""Which tensors an adapter adds to a model, and what they are at first. No torch: exporters read it too."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.models.config import DecoderConfig, Shapes
from paceline.recipe.method import Adapter
from paceline.spec.errors import Problem

DOWN, UP = "lora_A", "lora_B"
"""The two factors of what is added to a weight: up @ down. Named as `peft` names them."""


def adapted(config: DecoderConfig, adapter: Adapter) -> Shapes:
    """The linear layers of the model that get an adapter, with the shapes of their weights."""
    weights = {name.removesuffix(".weight"): shape for name, shape in config.tensors().items() if len(shape) == 2}
    return {name: shape for name, shape in weights.items() if _leaf(name) in adapter.targets and _is_dense(name)}


def adapter_tensors(config: DecoderConfig, adapter: Adapter) -> Shapes:
    """What is learned beside a frozen model, by name."""
    shapes: Shapes = {}
    for name, (rows, columns) in adapted(config, adapter).items():
        shapes[f"{name}.{DOWN}.weight"] = (adapter.rank, columns)
        shapes[f"{name}.{UP}.weight"] = (rows, adapter.rank)
    return shapes


def problems(config: DecoderConfig, adapter: Adapter) -> Iterator[Problem]:
    """What of an adapter a model does not allow."""
    found = {_leaf(name) for name in adapted(config, adapter)}
    for target in adapter.targets:
        if target not in found:
            message = f"adapter.targets: no linear layer of a {config.family} is called {target}, or it is an expert's"
            yield Problem(message=message, hint=f"leave {target} out")
    if adapter.quantize and getattr(config, "routing", None) is not None:
        yield Problem(message="adapter.quantize: experts are not quantised", hint="set it to null")


def learns(name: str) -> bool:
    """Whether a parameter learns beside a frozen model: those of adapters, and a head that is new."""
    return f".{DOWN}." in name or f".{UP}." in name or is_new_head(name)


def is_new_head(name: str) -> bool:
    """Whether a parameter is of the head that gives scores, which no pre-trained model has."""
    return name.startswith("score.")


def first_deviation(name: str, columns: int, otherwise: float) -> float:
    """The standard deviation of a parameter's first values: `up` begins at zero, so that the model does not change;
    `down` as in loralib (https://github.com/microsoft/LoRA), whose uniform distribution has variance 1 / (3 columns).
    """
    if f".{UP}." in name:
        return 0.0
    return (3 * columns) ** -0.5 if f".{DOWN}." in name else otherwise


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _is_dense(name: str) -> bool:
    return ".experts." not in name
