"""A chaos run: legs one after the other, each a training run that is struck again and again, and its score.

After every fault what is known is written down, so that a run that was interrupted goes on with the next one.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from types import FrameType

from paceline.chaos.base import FaultClass, Leg
from paceline.chaos.field import Field
from paceline.chaos.leaks import Leaks, find
from paceline.chaos.legs import LEGS, disturbed
from paceline.chaos.orders import ENV_ORDERS
from paceline.chaos.registry import fault_classes
from paceline.chaos.relay import Relay
from paceline.chaos.relayed import RelayedRun
from paceline.chaos.schedule import Plan, Scheduled, parts, schedule
from paceline.chaos.score import ClassScore, Trial, judge, score
from paceline.chaos.verdict import LegVerdict, judge_leg
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.data.corpus import interpreter_documentation
from paceline.data.prepare import prepare
from paceline.journal.writer import Journal
from paceline.launch.job import render
from paceline.local.aws.server import EmbeddedAws, surrounded_by
from paceline.spec.base import Record
from paceline.spec.errors import CheckpointError, LaunchError, PacelineError
from paceline.spec.manifest import MANIFEST_NAME

PLAN_NAME, TRIALS_NAME, VERDICT_NAME, SCORE_NAME = "chaos.json", "trials.jsonl", "verdict.json", "score.json"
_BUCKET = "paceline-chaos"
_ACCOUNT, _REGION = "000000000000", "us-east-1"
_DOCUMENTS, _VOCABULARY = 12, 512
_WHOLE_SECONDS = 300.0  # until every standby of every node is ready
_CALM_STEPS = 5

OnTrial = Callable[[Trial, int, int], None]


class Score(Record):
    """The chaos score. `bit_identical` is over all legs that keep their world, None when none was run. `wall_seconds`
    are of all faults and verdicts, in however many sittings; what an interruption cut short is not in them."""

    plan: Plan
    classes: dict[str, ClassScore]
    tokens_lost: int
    tokens_repeated: int
    bit_identical: bool | None
    leaked: Leaks
    legs: dict[str, LegVerdict]
    wall_seconds: float


class ChaosRun:
    """`plan` in `directory`, or what is left of it. `say` shows a line; `on_trial` hears of every fault that is over,
    how many that are by now, and how many there will be."""

    def __init__(self, directory: Path, plan: Plan, *, say: Callable[[str], None], on_trial: OnTrial) -> None:
        self._directory = directory.absolute()
        self._plan = plan
        self._say = say
        self._on_trial = on_trial
        self._dataset = self._directory / "dataset"
        self._orders = self._directory / "orders"
        self._temporary = self._directory / "tmp"
        self._ports: list[Sequence[int]] = []
        self._since = time.monotonic()
        self.trials = _read_trials(self._directory / TRIALS_NAME)

    @classmethod
    def resume(cls, directory: Path, *, say: Callable[[str], None], on_trial: OnTrial) -> ChaosRun:
        """Go on with what was begun in `directory`; LaunchError if nothing was."""
        plan = begun(directory)
        if plan is None:
            raise LaunchError(f"{directory}: no chaos run was begun there", "leave --resume out to begin one")
        return cls(directory, plan, say=say, on_trial=on_trial)

    @classmethod
    def begin(cls, directory: Path, plan: Plan, *, say: Callable[[str], None], on_trial: OnTrial) -> ChaosRun:
        """A new one, in place of an older one in `directory`; LaunchError if something else is there."""
        if begun(directory) is not None:
            say(f"{directory}: replacing the chaos run of an earlier time")
            shutil.rmtree(directory)
        elif directory.exists() and any(directory.iterdir()):
            raise LaunchError(f"{directory}: holds something else", "give an empty directory with --directory")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PLAN_NAME).write_text(plan.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return cls(directory, plan, say=say, on_trial=on_trial)

    def run(self) -> Score:
        """All that is left to do, and the score. Interrupted, by Ctrl-C or SIGTERM, it leaves no process behind."""
        self._since = time.monotonic()
        for directory in (self._orders, self._temporary):
            directory.mkdir(exist_ok=True)
        marked = {**os.environ, ENV_ORDERS: str(self._orders), "TMPDIR": str(self._temporary)}
        aws = EmbeddedAws(self._directory, account=_ACCOUNT, region=_REGION)
        scheduled = schedule(self._plan)
        with _interruptible(), surrounded_by(marked):
            self._prepare()
            with aws, surrounded_by(aws.environment()):
                aws.client("s3").create_bucket(Bucket=_BUCKET)
                assert aws.port is not None
                with Relay(aws.port) as storage:
                    os.environ["AWS_ENDPOINT_URL"] = f"http://localhost:{storage.port}"
                    self._ports.append([aws.port, storage.port])
                    legs = {leg: self._leg(leg, scheduled, storage) for leg in Leg if any(parts(scheduled, leg))}
        return self._score(legs)

    def _prepare(self) -> None:
        if (self._dataset / MANIFEST_NAME).is_file():
            return
        documents = list(islice(interpreter_documentation(), _DOCUMENTS))
        source = f"documentation of {platform.python_implementation()} {platform.python_version()}"
        prepare(documents, name="chaos", source=source, output=self._dataset, vocabulary=_VOCABULARY)

    def _leg(self, leg: Leg, scheduled: Sequence[Scheduled], storage: Relay) -> LegVerdict:
        directory = self._directory / leg.value
        record = open_store(str(directory), LaunchError)
        if (directory / VERDICT_NAME).is_file():
            return LegVerdict.model_validate_json(record.get(VERDICT_NAME))
        local = f"{directory / 'checkpoints'}"
        checkpoints = f"s3://{_BUCKET}/{leg.value}" if LEGS[leg].storage == "bucket" else local
        while remaining := self._remaining(scheduled, leg):
            part = next(parts(remaining, leg))
            self._say(f"{leg.value}: {', '.join(each.fault.name() for each in part)}")
            self._part(leg, part, checkpoints, storage)
        self._say(f"{leg.value}: verify its data, and train the same without a fault")
        verdict = judge_leg(leg, directory, self._dataset, checkpoints, since=self._since)
        self._since += verdict.seconds
        record.put(VERDICT_NAME, verdict.model_dump_json(indent=1).encode() + b"\n")
        return verdict

    def _remaining(self, scheduled: Sequence[Scheduled], leg: Leg) -> list[Scheduled]:
        done = {trial.number for trial in self.trials}
        return [each for each in scheduled if each.fault.leg is leg and each.number not in done]

    def _part(self, leg: Leg, part: Sequence[Scheduled], checkpoints: str, storage: Relay) -> None:
        """Start or continue the leg's run, strike, and have it stop with a last checkpoint."""
        directory, ground = self._directory / leg.value, LEGS[leg]
        job = render(disturbed(leg, self._dataset, checkpoints), directory)
        journal = Journal(Path(job.journal), run=job.run, producer="chaos")
        with RelayedRun(job, directory, os.environ) as local:
            self._ports.append(local.ports)
            field = Field(
                local,
                ground,
                journal=journal,
                orders=self._orders,
                repository=CheckpointRepository(open_store(checkpoints, CheckpointError)),
                storage=storage,
            )
            if not field.wait(field.is_whole, _WHOLE_SECONDS):
                raise LaunchError(f"{directory}: the run did not begin", "see the logs of its nodes")
            for each in part:
                trial = self._try(field, each)
                self._note(trial)
                self._on_trial(trial, len(self.trials), self._plan.faults)
                if trial.ended is not None:
                    break
            else:
                local.request_stop()
                for _ in local.events():
                    pass
                local.wait()
        journal.close()

    def _try(self, field: Field, each: Scheduled) -> Trial:
        """One fault, until the run has come back to full strength."""
        fault, ended = each.fault, None

        def outcome() -> Trial:
            return judge(
                field.events,
                field.blow(),
                number=each.number,
                fault=fault.name(),
                leg=fault.leg.value,
                signs=fault.signs,
                heals=fault.heals,
                seconds=time.monotonic() - self._since,
                ended=ended,
            )

        try:
            field.begin(fault.name())
            fault.strike(field, each.rng(self._plan.seed))
            field.wait(lambda: _is_over(fault, outcome()), fault.patience)
            field.mend()
            calm = field.step + _CALM_STEPS
            if not field.wait(lambda: field.step >= calm and field.is_whole(), _WHOLE_SECONDS):
                ended = f"not at full strength again after {_WHOLE_SECONDS:.0f} s"
        except PacelineError as error:
            ended = error.problems[0].message
        return outcome()

    def _note(self, trial: Trial) -> None:
        self._since += trial.seconds
        self.trials.append(trial)
        with (self._directory / TRIALS_NAME).open("a", encoding="utf-8") as file:
            file.write(trial.model_dump_json() + "\n")

    def _score(self, legs: dict[Leg, LegVerdict]) -> Score:
        compared = [verdict.bit_identical for verdict in legs.values() if verdict.bit_identical is not None]
        trials: dict[str, list[Trial]] = {}
        for trial in self.trials:
            trials.setdefault(trial.fault, []).append(trial)
        known = fault_classes()
        found = Score(
            plan=self._plan,
            classes={
                name: score(trials[name], signs=known[name].signs, heals=known[name].heals) for name in sorted(trials)
            },
            tokens_lost=sum(verdict.tokens_lost for verdict in legs.values()),
            tokens_repeated=sum(verdict.tokens_repeated for verdict in legs.values()),
            bit_identical=all(compared) if compared else None,
            leaked=find(self._orders, chain(*self._ports), self._temporary, self._directory),
            legs={leg.value: verdict for leg, verdict in legs.items()},
            wall_seconds=sum(t.seconds for t in self.trials) + sum(verdict.seconds for verdict in legs.values()),
        )
        (self._directory / SCORE_NAME).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return found


def begun(directory: Path) -> Plan | None:
    """What was begun in `directory`, over or not; None if nothing was."""
    path = directory / PLAN_NAME
    return Plan.model_validate_json(path.read_bytes()) if path.is_file() else None


def _is_over(fault: FaultClass, trial: Trial) -> bool:
    """Whether all has happened that should."""
    detected = trial.detect_seconds is not None or not fault.signs
    return detected and (trial.recover_seconds is not None or not fault.heals)


def _read_trials(path: Path) -> list[Trial]:
    """All that are over. The line at which an earlier sitting was killed is cut off: its fault is struck again."""
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    os.truncate(path, len(whole) + 1 if whole else 0)
    return [Trial.model_validate_json(line) for line in whole.splitlines()]


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is as Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
