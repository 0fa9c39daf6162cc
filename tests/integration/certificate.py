"""Measure the parity certificate; `python -m tests.integration.certificate docs/reference/parity-certificate.md`
writes it, or `make certificate`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.recipe.engines import engines
from tests.integration.certificate_cells import CELLS, CHAIN, ENGINES, STEPS
from tests.integration.certificate_ranks import REFERENCE, WORLD
from tests.integration.resume_ranks import losses

ROOT = Path(__file__).parents[2]
BOUND, SECONDS = 1e-5, 900
_SENTENCE = "a paceline is a row of riders who share the wind one drops out the line closes up"


@dataclass(frozen=True, kw_only=True)
class Error:
    """The largest relative errors of all steps and ranks."""

    loss: float
    norm: float

    def __str__(self) -> str:
        return f"{self.loss:.0e}, {self.norm:.0e}"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What was measured: by recipe and engine; of the chain, the largest relative error of a loss, and None where an
    engine of it is not here."""

    errors: dict[tuple[str, str], Error]
    chain: float | None


def missing(engine: str) -> str | None:
    """Why `engine` cannot be measured here, or None."""
    needs = engines()[engine].needs
    if "library" in ENGINES[engine] or find_spec(needs) is not None:
        return None
    return f"{needs} is not installed"


def measure() -> Certificate:
    """One engine after the other, each with processes of its own; nothing of them is left afterwards."""
    present = [engine for engine in ENGINES if missing(engine) is None]
    with tempfile.TemporaryDirectory(prefix="certificate-") as scratch:
        for name in (REFERENCE, *present):
            _run("certificate_ranks", name, name, scratch)
        expected = _seen(scratch, REFERENCE, 0)
        errors = {}
        for engine in present:
            ranks = [_seen(scratch, engine, rank) for rank in range(WORLD)]
            for cell in map(str, CELLS):
                pairs = [(rank[cell], expected[cell]) for rank in ranks]
                errors[cell, engine] = Error(
                    loss=max(_relative(some["loss"], plain["loss"]) for some, plain in pairs),
                    norm=max(_relative(some["norm"], plain["norm"]) for some, plain in pairs),
                )
        travels = all(leg["engine"] in present for leg in CHAIN["legs"])
        return Certificate(errors=errors, chain=_travel(Path(scratch)) if travels else None)


def _travel(scratch: Path) -> float:
    """The losses of a run that changes its engine against those of a run that does not."""
    words = _SENTENCE.split()
    texts = [" ".join(words[n * k % len(words)] for k in range(1, 40)) for n in range(8)]
    documents = [Document(name=f"d{n}", text=text) for n, text in enumerate(texts)]
    manifest = prepare(documents, name="riders", source="a test", output=scratch / "data", vocabulary=300)
    assert manifest.vocabulary % WORLD == 0, "ranks of tensor parallelism share it evenly"
    first = {"engine": CHAIN["legs"][0]["engine"], "until": CHAIN["steps"]}
    curves = []
    for name, legs in (("whole", [first]), ("chain", CHAIN["legs"])):
        output, start = scratch / name, 0
        (output / "journal").mkdir(parents=True)
        for leg in legs:
            places = str(scratch / "data"), str(output)
            _run("certificate_legs", leg["engine"], leg["engine"], str(start), str(leg["until"]), *places)
            start = leg["until"]
        curves.append(losses(output))
    whole, chain = curves
    assert len(whole) == len(chain) == CHAIN["steps"]
    assert _trainer(scratch / "whole") == _trainer(scratch / "chain"), "they consumed other data"
    return _relative(chain, whole)


def _run(module: str, engine: str, *arguments: str) -> None:
    chosen = ENGINES.get(engine, {})
    library = [str(ROOT / chosen["library"])] if "library" in chosen else []
    path = os.pathsep.join([*library, str(ROOT), str(ROOT / "training"), *sys.path])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | chosen.get("environment", {})
    command = [sys.executable, "-m", f"tests.integration.{module}", *arguments]
    program = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        assert program.wait(timeout=SECONDS) == 0, f"{' '.join(arguments)} failed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def _seen(scratch: str, engine: str, rank: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = json.loads(Path(f"{scratch}/{engine}-{rank}.json").read_bytes())
    return found


def _trainer(directory: Path) -> str:
    return (directory / f"{CHAIN['steps']}.json").read_text(encoding="utf-8")


def _relative(some: list[float], others: list[float]) -> float:
    return max(abs(one - other) / abs(other) for one, other in zip(some, others, strict=True))


_HEAD = f"""# Parity certificate

The same recipe, from the same canonical checkpoint, on every engine: {STEPS} steps of tiny models in float32 on gloo,
beside a few lines of PyTorch in one process. A cell holds the largest relative error of all losses, then that of all
gradient norms. Generated; do not edit:

    make certificate

`pytest -m integration -k parity_certificate` measures it anew and fails above {BOUND:.0e}. A recipe's version is the
SHA-256 of what it says and of the model's sizes (`tests/integration/certificate.yaml`): a recipe that changes needs
another certificate, and the test says so. Pre-training learns every token; SFT, LoRA and DPO answers of different
lengths. The engine nxd runs on the CPU surface of NeuronX Distributed, which is not the library itself: it says
nothing about compiler, kernels and collectives of a Neuron device.
"""


def render(certificate: Certificate) -> str:
    """The page."""
    measured = [engine for engine in ENGINES if any(name == engine for _, name in certificate.errors)]
    titles = [f"{engine} ({ENGINES[engine]['layout']})" for engine in measured]
    rows = ["| Recipe | Version | " + " | ".join(titles) + " |", "|---" * (len(titles) + 2) + "|"]
    for cell in CELLS:
        values = [str(certificate.errors[str(cell), engine]) for engine in measured]
        rows.append(f"| {cell} | `{cell.version[:12]}` | " + " | ".join(values) + " |")
    ends = []
    if certificate.chain is not None:
        route = ", ".join(f"{leg['engine']} to step {leg['until']}" for leg in CHAIN["legs"])
        ends = [
            "",
            "## One run, four engines after each other",
            "",
            f"{route}: checkpoint, schedule and position in the data go from one to the next. Its losses differ from",
            f"those of the run of {CHAIN['legs'][0]['engine']} alone by at most {certificate.chain:.0e} of",
            "their value, and both have consumed the same data, by their ledgers.",
        ]
    return "\n".join([_HEAD, *rows, *ends, ""])


def main(page: str) -> None:
    absent = [f"engine {engine}: {why}" for engine in ENGINES if (why := missing(engine))]
    if absent:
        sys.exit("the page has every engine: " + ", ".join(absent))
    Path(page).write_text(render(measure()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
