"""The jobs of all training benchmarks, under paceline and under its peers: same data, recipe, engine and model."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from paceline.data.corpus import interpreter_documentation
from paceline.data.prepare import VOCABULARY, prepare
from paceline.data.tokenizer import TextTokenizer
from paceline.launch.job import RunRequest, render
from paceline.recipe.load import load
from paceline.spec.job import JobSpec

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = "debug-llama"
RANKS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A model, and how RECIPE is changed for it. `vocabulary` is that of its embedding: rows to spare for our tokens.
    In the first `warm_up` steps paceline's next standbys rehearse; `undisturbed` steps at least come before a fault."""

    title: str
    vocabulary: int
    warm_up: int
    undisturbed: int
    overrides: tuple[str, ...] = ()


DEBUG = Size(title="debug", vocabulary=VOCABULARY, warm_up=12, undisturbed=10)
SMALL = Size(
    title="135M",
    vocabulary=49152,
    warm_up=3,
    undisturbed=5,
    # one short sequence a rank: the step of a CPU must not hide what a restart takes
    overrides=(
        "model.preset=smollm2-135m",
        "data.sequence_length=64",
        "batch.tokens=128",
        "batch.micro_sequences=1",
    ),
)


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory for everything that a benchmark writes; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="paceline-bench-") as directory:
        yield Path(directory)


def dataset(directory: Path, size: Size = DEBUG) -> Path:
    """The data of the demo: this Python's documentation, tokenised for a model of `size`."""
    output = directory / f"dataset-{size.title}"
    documents = list(interpreter_documentation())
    tokenizer = TextTokenizer.train((document.text for document in documents), VOCABULARY)
    source = f"documentation of {platform.python_implementation()} {platform.python_version()}"
    prepare(
        documents,
        name="python-documentation",
        source=source,
        output=output,
        tokenizer=tokenizer,
        vocabulary=size.vocabulary,
    )
    return output


def job(
    directory: Path, data: Path, overrides: Sequence[str], *, size: Size = DEBUG, nodes: int = RANKS, spares: int = 0
) -> JobSpec:
    """A rendered run of RECIPE on `nodes` with one rank each, in `directory`; the peer reads the same file."""
    request = RunRequest(
        name=directory.name,
        recipe=load(RECIPE, (*size.overrides, *overrides)),
        dataset=str(data),
        checkpoints=str(directory / "checkpoints"),
        nodes=nodes,
        spares=spares,
    )
    return render(request, directory)
