"""EC2 capacity: reservations, which ministack answers with an empty list, and Capacity Blocks, which it does not know.

There is nothing for sale here, so no offerings are found.
Shape: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservation.html
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from ministack.services import ec2

from paceline.local.aws.store import Resource, Store

RESERVATION = "AWS::EC2::CapacityReservation"
# the answer's names for what the template or the resource's attributes say
FROM_PROPERTIES = (
    "AvailabilityZone",
    "EndDate",
    "EndDateType",
    "InstanceMatchCriteria",
    "InstancePlatform",
    "InstanceType",
    "PlacementGroupArn",
    "Tenancy",
)
FROM_ATTRIBUTES = (
    "AvailableInstanceCount",
    "CapacityReservationArn",
    "CreateDate",
    "OwnerId",
    "ReservationType",
    "StartDate",
    "State",
    "TotalInstanceCount",
)


def install(store: Store) -> None:
    """Answer for the reservations in `store`."""

    def describe(parameters: Mapping[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        ids = set(ec2._parse_member_list(parameters, "CapacityReservationId"))
        found = [resource for resource in store.all(RESERVATION) if not ids or resource.id in ids]
        if missing := ids - {resource.id for resource in found}:
            text = f"The capacity reservation IDs '{', '.join(sorted(missing))}' do not exist"
            refusal: tuple[int, dict[str, str], bytes] = ec2._error("InvalidCapacityReservationId.NotFound", text, 400)
            return refusal
        items = "".join(ElementTree.tostring(_item(resource), encoding="unicode") for resource in found)
        answer: tuple[int, dict[str, str], bytes] = ec2._xml(
            200, "DescribeCapacityReservationsResponse", f"<capacityReservationSet>{items}</capacityReservationSet>"
        )
        return answer

    def offerings(parameters: Mapping[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        empty: tuple[int, dict[str, str], bytes] = ec2._xml(
            200, "DescribeCapacityBlockOfferingsResponse", "<capacityBlockOfferingSet/>"
        )
        return empty

    ec2._ACTION_MAP["DescribeCapacityReservations"] = describe
    ec2._ACTION_MAP["DescribeCapacityBlockOfferings"] = offerings


def _item(resource: Resource) -> ElementTree.Element:
    item = ElementTree.Element("item")
    values = {name: resource.properties.get(name) for name in FROM_PROPERTIES}
    values |= {name: resource.attributes[name] for name in FROM_ATTRIBUTES}
    for name, value in (values | {"CapacityReservationId": resource.id}).items():
        if value is not None:
            ElementTree.SubElement(item, name[:1].lower() + name[1:]).text = str(value)
    tags = ElementTree.SubElement(item, "tagSet")
    for specification in resource.properties.get("TagSpecifications", ()):
        for tag in specification.get("Tags", ()):
            entry = ElementTree.SubElement(tags, "item")
            ElementTree.SubElement(entry, "key").text = tag["Key"]
            ElementTree.SubElement(entry, "value").text = tag["Value"]
    return item
