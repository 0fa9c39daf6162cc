"""A template that CloudFormation would refuse fails the synthesis, and one that comes near is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aws_cdk import App, CfnResource, Stack

from paceline_constructs.guardrails.template_budget import enforce_template_budget


@pytest.fixture
def app(tmp_path: Path) -> App:
    # CDK's own limit of resources would stop the synthesis before the plugin sees it
    app = App(
        builtin_cloud_formation_validation=False,
        outdir=str(tmp_path),
        context={"@aws-cdk/core:stackResourceLimit": 0},
    )
    enforce_template_budget(app)
    return app


def fill(app: App, *, resources: int, text: int = 0) -> None:
    stack = Stack(app, "Full")
    for index in range(resources):
        CfnResource(stack, f"R{index}", type="AWS::SSM::Parameter", properties={"Value": "x" * (text // resources)})


def told(directory: Path) -> list[tuple[str, str]]:
    """Rule and severity of every violation in the report."""
    report = directory / "validation-report.json"
    reports = json.loads(report.read_text(encoding="utf-8"))["pluginReports"] if report.exists() else []
    return [(found["ruleName"], found["severity"]) for report in reports for found in report["violations"]]


@pytest.mark.parametrize(("resources", "text", "rule"), [(501, 0, "resources"), (10, 1_000_000, "bytes")])
def test_what_cloudformation_refuses_fails(app: App, tmp_path: Path, resources: int, text: int, rule: str) -> None:
    fill(app, resources=resources, text=text)
    with pytest.raises(RuntimeError):
        app.synth()
    assert told(tmp_path) == [(f"template-{rule}", "error")]


@pytest.mark.parametrize(("resources", "text", "rule"), [(401, 0, "resources"), (10, 801_000, "bytes")])
def test_what_comes_near_is_told(app: App, tmp_path: Path, resources: int, text: int, rule: str) -> None:
    fill(app, resources=resources, text=text)
    app.synth()
    assert told(tmp_path) == [(f"template-{rule}", "warning")]


def test_what_has_room_is_not_mentioned(app: App, tmp_path: Path) -> None:
    fill(app, resources=400, text=100_000)
    app.synth()
    assert told(tmp_path) == []
