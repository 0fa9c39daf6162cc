"""What paceline's programs show to Prometheus, read from what they write when they have everything to say."""

from __future__ import annotations

import re

from paceline.heal.healer import Round
from paceline.heal.metrics import shown
from paceline.health.exporter import Measured, Measurements
from paceline.journal.metrics import RunMetrics
from paceline.spec.events import (
    CheckpointCommitted,
    EvaluationFinished,
    RunFinished,
    StepFinished,
)
from paceline.spec.healing import Phase
from paceline.spec.health import Result
from tests.unit.training.conftest import Script


def exported() -> set[str]:
    """The names, of a run, of the controller that leads, and of an agent."""
    agent = Measurements("node-0", checks={"xid": Measured(result=Result.PASS, seconds=0.1, ended=0.0)})
    seen = Round(nodes=4, phases={Phase.DRAINING: 1}, spares=1, wanted=1, held=0, refused=())
    texts = (_run(), shown("vision", leads=True, last=seen, at=0.0), agent.render())
    return {name for text in texts for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)}


def _run() -> str:
    script, metrics = Script(), RunMetrics()
    script.start()
    script.member(1, "node-0", "spare")
    script.at(
        2,
        StepFinished,
        rank=0,
        step=1,
        loss=1.0,
        tokens=1,
        learning_rate=0.1,
        gradient_norm=1.0,
        seconds=1.0,
        data_seconds=0.0,
        checkpoint_seconds=0.0,
        mfu=0.4,
        memory_bytes=1,
    )
    script.at(3, CheckpointCommitted, step=1, uri="u", files=1, bytes=1)
    script.at(4, EvaluationFinished, step=1, loss=1.0, tokens=1, bits_per_byte=1.0)
    script.at(5, RunFinished, outcome="completed", step=1)
    for event in script.read():
        metrics.observe(event)
    return metrics.text()
