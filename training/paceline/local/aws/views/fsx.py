"""Amazon FSx: file systems and data repository associations.

Shapes: https://docs.aws.amazon.com/fsx/latest/APIReference/API_FileSystem.html and API_DataRepositoryAssociation.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2

from paceline.local.aws.store import Resource, Store
from paceline.local.aws.views import service
from paceline.local.aws.views.service import Request, ServiceError

FILE_SYSTEM = "AWS::FSx::FileSystem"
ASSOCIATION = "AWS::FSx::DataRepositoryAssociation"

# by type, where its settings are, and which attributes of the resource belong to them
_OWN: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "LUSTRE": ("LustreConfiguration", {"MountName": "LustreMountName"}),
    "ONTAP": ("OntapConfiguration", {}),
    "OPENZFS": ("OpenZFSConfiguration", {"RootVolumeId": "RootVolumeId"}),
    "WINDOWS": ("WindowsConfiguration", {}),
}


def install(store: Store) -> None:
    """Answer for the file systems and associations in `store`."""

    def file_systems(request: Request) -> dict[str, Any]:
        found = _wanted(list(store.all(FILE_SYSTEM)), request.get("FileSystemIds"), "FileSystemNotFound")
        return {"FileSystems": [_file_system(resource) for resource in found]}

    def associations(request: Request) -> dict[str, Any]:
        resources = list(store.all(ASSOCIATION))
        found = _wanted(resources, request.get("AssociationIds"), "DataRepositoryAssociationNotFound")
        for condition in request.get("Filters", ()):
            if condition["Name"] != "file-system-id":
                raise ServiceError("BadRequest", f"the embedded AWS cannot filter by {condition['Name']}")
            found = [r for r in found if r.properties["FileSystemId"] in condition["Values"]]
        return {"Associations": [_association(resource) for resource in found]}

    operations = {"DescribeFileSystems": file_systems, "DescribeDataRepositoryAssociations": associations}
    service.install("fsx", operations)


def _wanted(resources: list[Resource], ids: list[str] | None, missing: str) -> list[Resource]:
    if not ids:
        return resources
    by_id = {resource.id: resource for resource in resources}
    if unknown := [name for name in ids if name not in by_id]:
        raise ServiceError(missing, f"{', '.join(unknown)} does not exist")
    return [by_id[name] for name in ids]


def _file_system(resource: Resource) -> dict[str, Any]:
    given = resource.properties
    taken = ("FileSystemType", "FileSystemTypeVersion", "KmsKeyId", "StorageType", "SubnetIds", "Tags")
    answer = _common(resource) | {key: given[key] for key in taken if key in given}
    answer |= {
        "DNSName": resource.attributes["DNSName"],
        "FileSystemId": resource.id,
        "OwnerId": get_account_id(),
        "VpcId": (ec2._subnets.get(given["SubnetIds"][0]) or {}).get("VpcId"),
    }
    if "StorageCapacity" in given:
        answer["StorageCapacity"] = int(given["StorageCapacity"])
    key, own = _OWN[given["FileSystemType"]]
    answer[key] = given.get(key, {}) | {name: resource.attributes[attribute] for name, attribute in own.items()}
    return answer


def _association(resource: Resource) -> dict[str, Any]:
    given = resource.properties
    # every property of the template is a field of the answer, under the same name
    return _common(resource) | given | {"AssociationId": resource.id}


def _common(resource: Resource) -> dict[str, Any]:
    arn = resource.attributes["ResourceARN"]
    return {"CreationTime": resource.created, "Lifecycle": "AVAILABLE", "ResourceARN": arn}
