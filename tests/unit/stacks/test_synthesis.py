"""What CDK's validation report becomes for a person."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.synthesis import findings


def report(plugin: str, rule: str, severity: str, *paths: str) -> dict[str, Any]:
    """CDK's report of one rule, as aws-cdk-lib 2.275.0 writes it."""
    constructs = [
        {"constructPath": path, "cloudFormationResource": {"templatePath": "a.template.json", "logicalId": "Volume"}}
        for path in paths
    ]
    violation = {"ruleName": rule, "description": "Is wrong.", "severity": severity, "violatingConstructs": constructs}
    return {"pluginReports": [{"pluginName": plugin, "conclusion": "failure", "violations": [violation]}]}


@pytest.mark.parametrize(
    ("plugin", "rule", "call"),
    [
        ("AwsSolutions", "AwsSolutions-IAM5[Resource::*]", 'acknowledge(construct, "IAM5[Resource::*]", reason)'),
        ("CloudFormation Validate", "F3006", 'acknowledge_template(construct, "F3006", reason)'),
    ],
)
def test_a_finding_names_construct_rule_and_cure(plugin: str, rule: str, call: str) -> None:
    [one, two] = findings(report(plugin, rule, "error", "vision/Eks/Role", "speech/Eks/Role"))
    assert one.message == f"vision/Eks/Role: {rule}: Is wrong"
    assert one.hint is not None and call in one.hint
    assert two.message.startswith("speech/Eks/Role: ")


def test_a_finding_without_a_construct_names_the_template() -> None:
    [problem] = findings(report("CloudFormation Validate", "F3006", "fatal", ""))
    assert problem.message == "a.template.json: F3006: Is wrong"


def test_a_finding_that_cannot_be_accepted_is_to_be_cured() -> None:
    [problem] = findings(report("Construct Annotations", "error", "error", "vision/Eks"))
    assert problem.hint == "change the construct"


def test_a_warning_does_not_fail() -> None:
    assert not list(findings(report("CloudFormation Validate", "W3010", "warning", "vision/Eks")))
