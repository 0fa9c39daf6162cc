"""The main job on one machine: deploy, train on real text, lose a node, heal, verify, resume, report.

Each step leaves what it made in the run directory and finds it again: interrupted anywhere, the demo goes on where it
was; finished, the next one starts anew. What it uses is what production uses: the real CDK CLI, the deployed buckets,
the same supervisors and workers.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import paceline
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.data.corpus import interpreter_documentation
from paceline.data.prepare import prepare
from paceline.data.transfer import upload
from paceline.journal.live import LiveLines
from paceline.journal.reader import Follower
from paceline.journal.report import render as render_report
from paceline.journal.summary import Summary, summary
from paceline.journal.units import counted, size
from paceline.journal.writer import Journal
from paceline.launch.job import RunRequest, render
from paceline.launch.local.drive import drive
from paceline.launch.local.run import LocalRun
from paceline.local.aws.server import EmbeddedAws, surrounded_by
from paceline.local.cdk import Cdk, Progress
from paceline.local.steps import Steps
from paceline.recipe.load import load
from paceline.spec import events as ev
from paceline.spec.errors import CheckpointError, DataError, DeployError
from paceline.spec.names import PARAMETER_CHECKPOINT_BUCKET, PARAMETER_DATA_BUCKET, parameter_path
from paceline.spec.run import JOURNAL_DIRECTORY

RUN = "demo"
TEAM = "sandbox"
DATASET = "python-documentation"
SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.html"
_RESUMED_STEPS = 5
_STRUCK_RANK = 1


class Demo:
    """One demo of `recipe` in `directory`. `say` shows a line to the person who watches."""

    def __init__(self, directory: Path, recipe: str, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._recipe = recipe
        self._say = say
        self._steps = Steps(total=7, say=say)

    def run(self) -> Summary:
        """All steps; the figures of the run."""
        self._make_room()
        repository, log = _checkout(), self._directory / "cdk.log"
        self._journal = Journal(self._directory / JOURNAL_DIRECTORY, run=RUN, producer="demo")
        with self._steps.step("start the embedded AWS"):
            home = Cdk(repository, environment=os.environ, log=log).home_of(f"{TEAM}/*")
            aws = EmbeddedAws(self._directory, account=home.account, region=home.region)
            aws.start()
            self._steps.note(f"{aws.url}, account {home.account}, {home.region}; state in {aws.directory}")
        try:
            with surrounded_by(aws.environment()):
                with self._steps.step(f"deploy the team {TEAM} with the CDK CLI"):
                    self._deploy(aws, Cdk(repository, environment=os.environ, log=log, on_progress=self._tell_stack))
                with self._steps.step("prepare the documentation of this Python as training data"):
                    self._prepare(f"s3://{_parameter(aws, PARAMETER_DATA_BUCKET)}/datasets/{DATASET}")
                checkpoints = f"s3://{_parameter(aws, PARAMETER_CHECKPOINT_BUCKET)}/{RUN}"
                self._train(checkpoints)
                with self._steps.step("verify the newest checkpoint and resume from it in a fresh run"):
                    self._resume(checkpoints)
        finally:
            aws.stop()
        with self._steps.step("write the report"):
            return self._report()

    # ----- the steps -----------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        if (self._directory / SUMMARY_NAME).is_file():
            self._say(f"{self._directory}: replacing the finished demo of an earlier time")
            shutil.rmtree(self._directory)
        elif self._directory.is_dir():
            self._say(f"{self._directory}: going on with an unfinished demo; remove the directory to start anew")
        self._directory.mkdir(parents=True, exist_ok=True)

    def _deploy(self, aws: EmbeddedAws, cdk: Cdk) -> None:
        cdk.bootstrap(account=aws.account, region=aws.region)
        results = cdk.deploy(f"{TEAM}/*", outputs=self._directory / "outputs.json")
        cloudformation = aws.client("cloudformation")
        known = {e.stack for e in self._events() if isinstance(e, ev.StackDeployed)}
        for result in results:
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=result.stack)
            resources = sum(len(page["StackResourceSummaries"]) for page in pages)
            self._steps.note(f"{result.stack}: {result.state}, {counted(resources, 'resource')}")
            if result.stack not in known:
                self._journal.emit(ev.StackDeployed, stack=result.stack, resources=resources, seconds=result.seconds)

    def _tell_stack(self, progress: Progress) -> None:
        if progress.state == "deploying" and not progress.total:
            self._steps.note(f"{progress.stack}: deploying")

    def _prepare(self, uri: str) -> None:
        started = time.monotonic()
        documents = list(interpreter_documentation())
        source = f"documentation of {platform.python_implementation()} {platform.python_version()}"
        local = self._directory / "dataset"
        manifest = prepare(documents, name=DATASET, source=source, output=local)
        self._dataset = upload_to = uri
        upload(local, open_store(upload_to, DataError))
        self._steps.note(f"{counted(manifest.documents, 'document')}, {counted(manifest.tokens, 'token')}, in {uri}")
        self._steps.note(f"SHA-256 {manifest.dataset_sha256}; unigram entropy {manifest.unigram_entropy:.3f} nats")
        self._entropy = manifest.unigram_entropy
        self._journal.emit(
            ev.DatasetPrepared,
            dataset=DATASET,
            uri=uri,
            documents=manifest.documents,
            tokens=manifest.tokens,
            vocabulary=manifest.vocabulary,
            unigram_entropy=manifest.unigram_entropy,
            seconds=time.monotonic() - started,
        )

    def _train(self, checkpoints: str) -> None:
        """Steps 4 and 5: train on two nodes with a spare, and kill one node half way."""
        request = RunRequest(
            name=RUN, recipe=load(self._recipe), dataset=self._dataset, checkpoints=checkpoints, nodes=2, spares=1
        )
        past = self._events()
        if any(isinstance(e, ev.RunFinished) and e.outcome == "completed" for e in past):
            with self._steps.step(f"train {self._recipe}: done before"), self._steps.step("kill a node: done before"):
                return
        job = render(request, self._directory)
        run = LocalRun(job, self._directory, os.environ)
        total = request.recipe.recipe.schedule.steps
        struck = any(isinstance(e, ev.FaultInjected) for e in past)
        watcher = _Watcher(run, total, struck, self._journal, self._steps)
        with self._steps.step(f"train {self._recipe} on 2 nodes and a spare"):
            drive(run, watcher, self._steps.note)
        with self._steps.step("heal from the loss of a node"):
            self._tell_recovery()

    def _tell_recovery(self) -> None:
        figures = summary(self._events())
        self._steps.note(
            f"killed after step {figures.fault_step}, detected in {figures.detect_seconds:.2f} s, resumed from"
            f" {figures.restored_from} at step {figures.resumed_step}, next new step {figures.recovery_seconds:.2f} s"
            f" after the kill, {counted(figures.lost_steps or 0, 'step')} lost"
        )

    def _resume(self, checkpoints: str) -> None:
        repository = CheckpointRepository(open_store(checkpoints, CheckpointError))
        started = time.monotonic()
        manifest = repository.verify(repository.steps()[0])
        total = sum(file.bytes for file in manifest.files)
        self._journal.emit(
            ev.CheckpointVerified,
            step=manifest.step,
            uri=repository.uri(manifest.step),
            files=len(manifest.files),
            bytes=total,
            seconds=time.monotonic() - started,
        )
        self._steps.note(f"step {manifest.step}: {counted(len(manifest.files), 'file')}, {size(total)}, hashes match")
        steps = load(self._recipe).recipe.schedule.steps + _RESUMED_STEPS
        request = RunRequest(
            name=f"{RUN}-resumed",
            recipe=load(self._recipe, [f"schedule.steps={steps}"]),
            dataset=self._dataset,
            checkpoints=checkpoints,
            nodes=2,
            spares=0,
        )
        directory = self._directory / "resumed"
        run = LocalRun(render(request, directory), directory, os.environ)
        lines = LiveLines(steps)
        drive(run, lambda event: self._tell_line(lines.line(event)), self._steps.note)

    def _report(self) -> Summary:
        events = self._events()
        figures = summary(events)
        (self._directory / SUMMARY_NAME).write_text(figures.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (self._directory / REPORT_NAME).write_text(render_report(events), encoding="utf-8")
        self._steps.note(f"{self._directory / REPORT_NAME} and {self._directory / SUMMARY_NAME}")
        return figures

    # ----- helpers -------------------------------------------------------------------------------------------------

    def _events(self) -> list[ev.AnyEvent]:
        return Follower(self._directory / JOURNAL_DIRECTORY).poll()

    def _tell_line(self, line: str | None) -> None:
        if line:
            self._steps.note(line)


class _Watcher:
    """Shows the run and strikes once, half way, at the node of rank 1."""

    def __init__(self, run: LocalRun, total: int, struck: bool, journal: Journal, steps: Steps) -> None:
        self._run = run
        self._strike_at = total // 2
        self._struck = struck
        self._journal = journal
        self._steps = steps
        self._lines = LiveLines(total)
        self._node = ""

    def __call__(self, event: ev.AnyEvent) -> None:
        if line := self._lines.line(event):
            self._steps.note(line)
        if isinstance(event, ev.GenerationOpened):
            self._node = next(node for node, rank in event.ranks.items() if rank == _STRUCK_RANK)
        if isinstance(event, ev.StepFinished) and event.step >= self._strike_at and not self._struck:
            self._struck = True
            self._journal.emit(ev.FaultInjected, fault="node_kill", target=self._node)
            self._run.kill_node(self._node)


def _parameter(aws: EmbeddedAws, name: str) -> str:
    value: str = aws.client("ssm").get_parameter(Name=parameter_path(TEAM, name))["Parameter"]["Value"]
    return value


def _checkout() -> Path:
    """The repository that this paceline runs from: the demo deploys its stacks."""
    root = Path(paceline.__file__).parents[2]
    if not (root / "app.py").is_file():
        raise DeployError(f"{root}: not a checkout of paceline", "clone the repository, and run `make demo` in it")
    return root
