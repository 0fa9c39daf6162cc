"""EC2 capacity: reservations, which ministack answers with an empty list, and Capacity Blocks, which it does not know.

There is nothing for sale here, so no offerings are found.
Shape: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservation.html
"""

from __future__ import annotations

from xml.etree import ElementTree

from ministack.services import ec2

from paceline.local.aws.store import Resource, Store
from paceline.local.aws.views import query

RESERVATION = "AWS::EC2::CapacityReservation"
# the answer's names for what the template or the resource's attributes say
FROM_PROPERTIES = (
    "AvailabilityZone",
    "AvailabilityZoneId",
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

    def describe(parameters: query.Parameters) -> query.Response:
        ids = set(ec2._parse_member_list(parameters, "CapacityReservationId"))
        found = [resource for resource in store.all(RESERVATION) if not ids or resource.id in ids]
        if missing := ids - {resource.id for resource in found}:
            text = f"The capacity reservation IDs '{', '.join(sorted(missing))}' do not exist"
            refusal: query.Response = ec2._error("InvalidCapacityReservationId.NotFound", text, 400)
            return refusal
        items = "".join(ElementTree.tostring(_item(resource), encoding="unicode") for resource in found)
        answer: query.Response = ec2._xml(
            200, "DescribeCapacityReservationsResponse", f"<capacityReservationSet>{items}</capacityReservationSet>"
        )
        return answer

    def offerings(parameters: query.Parameters) -> query.Response:
        empty: query.Response = ec2._xml(200, "DescribeCapacityBlockOfferingsResponse", "<capacityBlockOfferingSet/>")
        return empty

    ec2._ACTION_MAP["DescribeCapacityReservations"] = describe
    query.keep_to_filters("DescribeCapacityReservations", "capacityReservationSet")
    ec2._ACTION_MAP["DescribeCapacityBlockOfferings"] = offerings


def _item(resource: Resource) -> query.Element:
    given = resource.properties
    values = {name: given[name] for name in FROM_PROPERTIES if name in given}
    values |= {name: resource.attributes[name] for name in FROM_ATTRIBUTES}
    if zone_id := given.get("AvailabilityZoneId"):
        values["AvailabilityZone"] = ec2._zone_name_for_az_id(zone_id)
    tags = [tag for specification in given.get("TagSpecifications", ()) for tag in specification.get("Tags", ())]
    return query.element("item", {"CapacityReservationId": resource.id, **values, "Tags": tags})
