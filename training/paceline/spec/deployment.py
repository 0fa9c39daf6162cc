"""A team's stacks as CloudFormation has them: what `paceline team` reads from the account and hands to `stacks`."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime

from paceline.spec.base import Record


class DeployedStack(Record):
    """One stack: `name` is CloudFormation's (`vision-Storage`), `changed` when it was last created or updated.

    `resources` has the physical id of each resource by its id in the template, without those that are deleted.
    """

    name: str
    status: str
    changed: AwareDatetime
    protected: bool
    template: dict[str, Any]
    resources: dict[str, str]

    def of_type(self, resource_type: str) -> tuple[str, ...]:
        """The physical ids of its resources of one type, e.g. AWS::S3::Bucket."""
        found = self.template.get("Resources", {})
        return tuple(
            self.resources[name] for name in found if name in self.resources and found[name]["Type"] == resource_type
        )

    @property
    def settled(self) -> bool:
        """Whether the template is what is there: nothing failed, and nothing goes on."""
        return self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Deployment(Record):
    """The stacks of `team` in one account and region, oldest first; none when it was never deployed."""

    team: str
    account: str
    region: str
    stacks: tuple[DeployedStack, ...]
