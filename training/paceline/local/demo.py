"""The main job on one machine: deploy, train on real text, lose a node, heal, verify, resume, report.

Each step leaves what it made in the run directory and finds it again: interrupted anywhere, the demo goes on where it
was; finished, the next one starts anew. Everything it uses is what production uses: the real CDK CLI, the deployed
buckets, the same supervisors and workers.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import paceline
from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.data.corpus import interpreter_documentation
from paceline.data.prepare import prepare
from paceline.data.transfer import upload
from paceline.journal.live import LiveLines
from paceline.journal.reader import read
from paceline.journal.report import write_report
from paceline.journal.summary import Summary, summary
from paceline.journal.units import counted, duration, size
from paceline.journal.writer import Journal
from paceline.launch.job import RunRequest, render
from paceline.launch.local.drive import drive
from paceline.launch.local.run import LocalRun
from paceline.local.aws.server import EmbeddedAws
from paceline.local.cdk import Cdk, Progress
from paceline.local.steps import Steps
from paceline.recipe.load import Resolved, load
from paceline.spec.errors import CheckpointError, DataError, DeployError
from paceline.spec.events import (
    AnyEvent,
    CheckpointVerified,
    DatasetPrepared,
    FaultInjected,
    GenerationOpened,
    RunFinished,
    StackDeployed,
    StepFinished,
)
from paceline.spec.names import PARAMETER_CHECKPOINT_BUCKET, PARAMETER_DATA_BUCKET, parameter_path
from paceline.spec.run import JOURNAL_DIRECTORY

RECIPE = "debug-llama"
TEAM = "sandbox"
DATASET = "python-documentation"
SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.html"
RESUMED_STEPS = 5


class Demo:
    """One demo in `directory`. `say` shows a line to the person who watches."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._say = say
        self._steps = Steps(total=7, say=say)
        self._repository = _checkout()
        self._recipe: Resolved = load(RECIPE)

    def run(self) -> Summary:
        """All steps; the figures of the run."""
        if (self._directory / SUMMARY_NAME).is_file():
            self._say(f"{self._directory}: a finished demo is here; it is replaced")
            shutil.rmtree(self._directory)
        elif self._directory.is_dir():
            self._say(f"{self._directory}: an unfinished demo is here; it goes on")
        self._directory.mkdir(parents=True, exist_ok=True)
        with Cdk.of_team(self._repository, TEAM, self._directory) as team:
            pass
        raise NotImplementedError
