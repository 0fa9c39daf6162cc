"""What the stacks of a team are made of, before and after a change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.record import RECORD
from stacks.settings import Team

Template = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much a stack takes of what CloudFormation accepts: resources, and bytes of the template."""

    resources: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StackChange:
    """One stack by its id (`Storage`); `before` or `after` is None where it is not.

    `follows` names the stacks from which it reads a value of a resource that changes. CloudFormation resolves a weak
    reference when the reader is deployed, and not when the value changes.
    """

    stack: str
    before: Size | None
    after: Size | None
    added: int
    changed: int
    removed: int
    follows: tuple[str, ...]


def synthesize(team: Team, flags: Mapping[str, Any]) -> dict[str, Template]:
    """The templates of `team` by stack id, in the order of deployment; `flags` is the context of cdk.json.

    Without the checks of `make synth`: those judge a team, and this compares two.
    """
    from aws_cdk import App  # loading it takes longer than finding out that nothing changed

    from stacks.team_stage import TeamStage

    app = App(context=dict(flags), builtin_cloud_formation_validation=False, analytics_reporting=False)
    assembly = TeamStage(app, team=team).synth()
    return {stack.stack_name.removeprefix(f"{team.name}-"): stack.template for stack in assembly.stacks}


def compare(old: Mapping[str, Template], new: Mapping[str, Template], *, team: str) -> tuple[StackChange, ...]:
    """The stacks of `team` that differ, and those that read from them, in the order of deployment.

    The record is left out: it differs whenever a parameter does.
    """
    found = []
    for name in dict.fromkeys([*new, *old]):
        before, after = _resources(old.get(name)), _resources(new.get(name))
        read = {(stack.removeprefix(f"{team}-"), output) for stack, output in _references(new.get(name, {}))}
        follows = {stack for stack, output in read if name in old and _moved(old.get(stack), new.get(stack), output)}
        if name != RECORD and (before != after or _outputs(old.get(name)) != _outputs(new.get(name)) or follows):
            common = before.keys() & after.keys()
            found.append(
                StackChange(
                    stack=name,
                    before=_size(old.get(name)),
                    after=_size(new.get(name)),
                    added=len(after.keys() - before.keys()),
                    changed=sum(before[key] != after[key] for key in common),
                    removed=len(before.keys() - after.keys()),
                    follows=tuple(sorted(follows)),
                )
            )
    return tuple(found)


def _size(template: Template | None) -> Size | None:
    if template is None:
        return None
    return Size(resources=len(_resources(template)), size=len(json.dumps(template, indent=1).encode()))


def _resources(template: Template | None) -> Mapping[str, Any]:
    """The resources without what is said about them: the CDK CLI adds to it, and CloudFormation does not act on it."""
    found = (template or {}).get("Resources", {})
    return {name: {k: v for k, v in resource.items() if k != "Metadata"} for name, resource in found.items()}


def _outputs(template: Template | None) -> Any:
    return (template or {}).get("Outputs", {})


def _moved(old: Template | None, new: Template | None, output: str) -> bool:
    """Whether the resource behind an output differs."""
    name = json.dumps(_outputs(new).get(output))
    before, after = _resources(old), _resources(new)
    return any(f'"{key}"' in name and before.get(key) != after[key] for key in after)


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """The names of the stacks whose outputs a template reads, and of the outputs."""
    if isinstance(node, Mapping):
        if source := node.get("Fn::GetStackOutput"):
            yield str(source["StackName"]), str(source["OutputName"])
        for item in node.values():
            yield from _references(item)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
