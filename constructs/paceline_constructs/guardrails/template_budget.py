"""How large a template may become, checked at every synthesis: CloudFormation says it when it is too late to split."""

from __future__ import annotations

import json
from pathlib import Path

import jsii
from aws_cdk import (
    App,
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
    Validations,
)

from paceline.catalog.cloudformation import template_limits

# a stack that is so full is split while that is still a plan and not an emergency
_WARN_AT = 0.8


def enforce_template_budget(app: App) -> None:
    """Fail the synthesis of `app` on a template that CloudFormation would refuse; warn of one that comes near."""
    Validations.of(app).add_plugins(_TemplateBudget())


@jsii.implements(IPolicyValidationPlugin)
class _TemplateBudget:
    @property
    def name(self) -> str:
        return "TemplateBudget"

    @property
    def version(self) -> str | None:
        return None  # it changes with paceline

    @property
    def rule_ids(self) -> list[str] | None:
        return ["template-resources", "template-bytes"]

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        found = [violation for path in context.template_paths for violation in _violations(Path(path))]
        return PolicyValidationPluginReport(success=all(v.severity != "error" for v in found), violations=found)


def _violations(template: Path) -> list[PolicyViolation]:
    text = template.read_bytes()
    sizes = {
        "resources": (len(json.loads(text).get("Resources", {})), template_limits().max_resources),
        "bytes": (len(text), template_limits().max_bytes),
    }
    return [
        PolicyViolation(
            rule_name=f"template-{unit}",
            description=f"{template.name} has {size} {unit}; CloudFormation accepts {most}",
            fix="move a part of the stack into a stack of its own",
            severity="error" if size > most else "warning",
            violating_resources=[PolicyViolatingResource(locations=[], template_path=str(template))],
        )
        for unit, (size, most) in sizes.items()
        if size > _WARN_AT * most
    ]
