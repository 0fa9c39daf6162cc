"""What a deployed capacity source says of itself to readers outside CloudFormation."""

from __future__ import annotations

from pydantic import AwareDatetime

from paceline.spec.base import Record


class CapacityRecord(Record):
    """The value, as JSON, of the parameter `capacity/<source>`; the fields are those of the team's file.

    `launch_template` is its id, None where HyperPod launches the nodes. `reservation` is the id or the ARN of what was
    reserved, and `ends` its end; None when there is none.
    """

    serves: str
    instance_type: str
    zone: str
    nodes: int
    min_nodes: int
    spares: int
    purchase: str
    reservation: str | None = None
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    launch_template: str | None = None
