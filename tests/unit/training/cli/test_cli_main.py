"""The command line as a program: exit codes, where text goes, what starting it imports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import paceline
from paceline.cli.main import app
from paceline.spec.errors import ClusterError, PacelineError, RecipeError

runner = CliRunner()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """A command `fail` that raises what the test puts under `error`."""
    raises: dict[str, BaseException] = {}
    commands = list(app.registered_commands)

    @app.command("fail")
    def fail() -> None:
        raise raises["error"]

    monkeypatch.setattr(app, "registered_commands", app.registered_commands)
    yield raises
    app.registered_commands[:] = commands


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    program = "from paceline.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env={**os.environ, **(env or {})}, capture_output=True, text=True
    )


def test_a_user_error_is_a_message_on_stderr(failing: dict[str, BaseException]) -> None:
    failing["error"] = RecipeError("a.yaml:1: x: unknown field", "did you mean `y`?")

    result = runner.invoke(app, ["fail"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: a.yaml:1: x: unknown field\n\nhint: did you mean `y`?\n"


def test_what_the_operating_system_refuses_is_a_message_too(failing: dict[str, BaseException]) -> None:
    failing["error"] = PermissionError(13, "Permission denied", "/saved/manifest.json")

    result = runner.invoke(app, ["fail"])

    assert result.exit_code == 1
    assert result.stderr.startswith("error: /saved/manifest.json: Permission denied\n\nhint: ")
    assert "Traceback" in runner.invoke(app, ["--debug", "fail"]).stderr


def test_each_kind_of_error_has_its_exit_code(failing: dict[str, BaseException]) -> None:
    failing["error"] = ClusterError("no capacity")

    assert runner.invoke(app, ["fail"]).exit_code == 3


def test_long_messages_are_not_wrapped(failing: dict[str, BaseException]) -> None:
    failing["error"] = PacelineError("x" * 300)

    assert runner.invoke(app, ["fail"]).stderr == f"error: {'x' * 300}\n"


def test_debug_shows_the_traceback(failing: dict[str, BaseException]) -> None:
    failing["error"] = PacelineError("broken")

    assert "Traceback" not in runner.invoke(app, ["fail"]).stderr
    assert "Traceback" in runner.invoke(app, ["--debug", "fail"]).stderr


def test_ctrl_c_says_so_and_exits_with_130(failing: dict[str, BaseException]) -> None:
    failing["error"] = KeyboardInterrupt()

    result = runner.invoke(app, ["fail"])

    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_our_own_mistakes_are_not_hidden(failing: dict[str, BaseException]) -> None:
    failing["error"] = AssertionError("ours")

    assert isinstance(runner.invoke(app, ["fail"]).exception, AssertionError)


def test_an_unknown_command_is_a_usage_error_with_a_suggestion() -> None:
    result = runner.invoke(app, ["recpie"])

    assert result.exit_code == 2
    assert "Did you mean 'recipe'?" in result.stderr


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"paceline {paceline.__version__}\n"


def test_every_command_says_what_it_is_for() -> None:
    def undocumented(group: typer.Typer, prefix: str) -> list[str]:
        missing = [f"{prefix} {command.name}" for command in group.registered_commands if not command.callback.__doc__]
        for inner in group.registered_groups:
            missing += undocumented(inner.typer_instance, f"{prefix} {inner.name}")
        return missing

    assert undocumented(app, "paceline") == []


@pytest.mark.parametrize("arguments", [["--help"], ["recipe", "ls"]])
def test_starts_without_the_heavy_libraries(arguments: list[str]) -> None:
    program = (
        "import sys; from paceline.cli.main import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'boto3', 'aws_cdk', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stderr.splitlines()[-1] == "[]"


def test_colour_only_for_those_who_want_it() -> None:
    coloured = run("recipe", "show", "nope", env={"FORCE_COLOR": "1", "NO_COLOR": ""})
    plain = run("recipe", "show", "nope", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})

    assert "\x1b[1;31merror:" in coloured.stderr
    assert "\x1b[1;31m" not in plain.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    program = "from paceline.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "recipe", "show", "debug-llama"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)

    assert "Traceback" not in result.stderr
    assert result.returncode == 1
