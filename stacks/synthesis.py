"""Teams become templates, or the reasons why they do not: what CDK refuses and what breaks a rule."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsii.errors import JavaScriptError, JSIIError

from paceline.spec.errors import Problem, StackError

if TYPE_CHECKING:
    from aws_cdk import App

    from stacks.settings import Team

REPORT = "validation-report.json"
# Under the CLI, CDK says no with the exit code of its Node process, which is not that of a Python app; without the CLI,
# with a traceback. So this module reads the report.
APP_READS_REPORT = {"@aws-cdk/core:failSynthOnValidationErrors": False}

_ROOT = Path(__file__).resolve().parent.parent
_ACKNOWLEDGE = {"AwsSolutions": "acknowledge", "CloudFormation Validate": "acknowledge_template"}


def synthesize(app: App, teams: Sequence[Team]) -> None:
    """Write the templates of `teams` and check them. StackError says what is refused: every finding, by construct.

    `app` has APP_READS_REPORT in its context.
    """
    from stacks.team_stage import TeamStage  # its CDK modules load longer than a mistake takes to be found

    for team in teams:
        try:
            TeamStage(app, team=team)
        except (RuntimeError, JSIIError) as error:
            raise _refusal(error, f"team {team.name}") from error
    try:
        assembly = app.synth()
    except (RuntimeError, JSIIError) as error:
        raise _refusal(error, "synthesis") from error
    report = Path(assembly.directory, REPORT)
    problems = list(findings(json.loads(report.read_text(encoding="utf-8")))) if report.exists() else []
    if problems:
        raise StackError.of(problems)


def findings(report: Mapping[str, Any]) -> Iterator[Problem]:
    """What fails in CDK's validation report, a problem per construct and rule; warnings are not among them."""
    for plugin in report["pluginReports"]:
        for violation in plugin["violations"]:
            if violation["severity"] not in ("error", "fatal"):
                continue
            rule, description = violation["ruleName"], violation["description"].rstrip(".")
            for construct in violation["violatingConstructs"]:
                place = construct["constructPath"] or construct.get("cloudFormationResource", {}).get("templatePath")
                said = f"{rule}: {description}"  # a finding about a whole template names it
                message = f"{place}: {said}" if place else said
                yield Problem(message=message, hint=_cure(plugin["pluginName"], violation))


def _cure(plugin: str, violation: Mapping[str, Any]) -> str:
    if plugin not in _ACKNOWLEDGE:
        return str(violation.get("suggestedFix") or "change the construct")
    rule = violation["ruleName"]
    call = f'{_ACKNOWLEDGE[plugin]}(construct, "{rule.removeprefix("AwsSolutions-")}", reason)'
    return f"change the construct, or accept the finding: {call} of paceline_constructs.guardrails.compliance"


def _refusal(error: Exception, what: str) -> StackError:
    """The line of ours at which CDK raised `error`, and what it said. Errors that are not CDK's pass through."""
    if not isinstance(error.__cause__, JavaScriptError):
        raise error
    ours = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(_ROOT)]
    place = f"{Path(ours[-1].filename).relative_to(_ROOT)}:{ours[-1].lineno}"
    return StackError(
        f"{place}: {what}: {error}", "CDK said so of that line; correct it, or the parameter that it passes on"
    )
