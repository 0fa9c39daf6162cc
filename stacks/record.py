"""What a team was deployed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from constructs import Construct

from paceline.spec.names import PARAMETER_RECORD
from stacks.settings import Team
from stacks.team_stack import TeamStack

RECORD = "Record"
_KEY = "paceline:parameters"


class RecordStack(TeamStack):
    """The team's parameters, in the metadata of a template that is deployed after all others.

    Metadata has no limit but the template's; an SSM parameter holds 4 KB. CloudFormation deploys no template in which
    only metadata differ, so the stack publishes their hash.
    """

    def __init__(self, scope: Construct, construct_id: str, *, team: Team) -> None:
        super().__init__(scope, construct_id, team=team, description="parameters")
        # prices are not deployed: a team is reckoned with those of today
        parameters = team.parameters.model_dump(mode="json", exclude={"prices"})
        self.template_options.metadata = {_KEY: parameters}
        text = json.dumps(parameters, sort_keys=True)
        self.publish(PARAMETER_RECORD, hashlib.sha256(text.encode()).hexdigest())


def recorded(template: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters in the template of a RecordStack; None when it holds none."""
    found: dict[str, Any] | None = template.get("Metadata", {}).get(_KEY)
    return found
