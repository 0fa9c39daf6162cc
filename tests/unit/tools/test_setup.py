"""Set-up: what it skips, what it says when it cannot go on, where it takes PyTorch from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TOOLS = Path(__file__).parent.parent.parent.parent / "tools"


@pytest.fixture
def setup(tmp_path: Path) -> ModuleType:
    """tools/setup.py, keeping its state in an empty directory."""
    spec = importlib.util.spec_from_file_location("paceline_setup", TOOLS / "setup.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.ROOT = module.STATE = tmp_path
    return module


def make_step(setup: ModuleType, *command: str, inputs: tuple[Any, ...] = ("1",)) -> Any:
    """A step whose proof is the file `proof`."""
    return setup.Step(
        name="step",
        what="something",
        inputs=inputs,
        proof=setup.STATE / "proof",
        run=lambda step: setup.call(step, list(command)),
    )


def run(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, step: Any) -> int:
    monkeypatch.setattr(setup, "STEPS", (step,))
    return setup.main()


def test_a_step_is_done_once(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = make_step(setup, "touch", "proof")

    assert run(setup, monkeypatch, step) == 0
    assert capsys.readouterr().err.splitlines() == ["setup: step: something", "setup: step: done in 0 s"]
    assert run(setup, monkeypatch, step) == 0
    assert capsys.readouterr().err == "setup: up to date\n"


def test_a_step_is_done_again_when_an_input_changes(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = setup.STATE / "pins.txt"
    pins.write_text("a==1")
    step = make_step(setup, "touch", "proof", inputs=(pins,))
    run(setup, monkeypatch, step)

    assert step.is_done()
    pins.write_text("a==2")
    assert not step.is_done()


def test_a_step_is_done_again_when_its_result_is_gone(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    step = make_step(setup, "touch", "proof")
    run(setup, monkeypatch, step)
    step.proof.unlink()

    assert not step.is_done()


def test_a_failed_step_shows_the_end_of_its_log(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = make_step(setup, "sh", "-c", "touch proof; echo the reason >&2; exit 7")

    assert run(setup, monkeypatch, step) == 1
    assert not step.is_done()
    text = capsys.readouterr().err
    assert "error: step: sh -c" in text
    assert "the reason" in text
    assert f"hint: the whole log: {step.log}" in text


def test_an_interrupted_step_stops_its_command_and_is_not_done(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if self not in children:
                children.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(setup.subprocess, "Popen", Interrupted)
    step = make_step(setup, "sleep", "600")

    assert run(setup, monkeypatch, step) == 130
    assert children[0].returncode == -15
    assert not step.stamp.exists()
    assert "interrupted" in capsys.readouterr().err


def test_a_python_without_venv_is_a_clear_error(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))

    with pytest.raises(setup.SetupError, match="comes without `venv` and `ensurepip`"):
        setup.environment(make_step(setup))


def test_no_suitable_python_is_a_clear_error() -> None:
    result = subprocess.run(
        ["sh", str(TOOLS / "setup.sh")], env={"PATH": "/usr/bin:/bin", "PYTHON": "no-such-python"}, capture_output=True
    )

    assert result.returncode == 1
    assert result.stderr.decode().startswith("error: no Python 3.11 or newer among: no-such-python\n\nhint: ")


# --- PyTorch's index


@pytest.fixture
def answer(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the index of CPU builds answers: `error` is raised if given."""
    how: dict[str, Any] = {}

    class Response:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    def urlopen(url: str, timeout: float) -> Response:
        assert url.startswith(setup.TORCH_CPU_INDEX)
        if "error" in how:
            raise how["error"]
        return Response()

    monkeypatch.delenv("TORCH_INDEX_URL", raising=False)
    monkeypatch.setattr(setup.urllib.request, "urlopen", urlopen)
    return how


def test_the_cpu_index_is_taken_when_it_answers(setup: ModuleType, answer: dict[str, Any]) -> None:
    assert setup.torch_index() == setup.TORCH_CPU_INDEX


def test_the_users_index_wins(setup: ModuleType, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_INDEX_URL", "https://torch.example/cpu")

    assert setup.torch_index() == "https://torch.example/cpu"


def test_the_default_index_is_taken_when_it_does_not_answer(setup: ModuleType, answer: dict[str, Any]) -> None:
    answer["error"] = urllib.error.URLError("no such host")

    assert setup.torch_index() is None
