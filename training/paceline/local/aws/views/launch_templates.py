"""EC2 launch templates: ministack keeps what a template says of one, but shows a part of it only.

Network interfaces come without their card and type, and neither the reservation, the market nor the placement is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ministack.services import ec2

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Parameters = Mapping[str, list[str]]
Response = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Complete `describe_launch_template_versions`."""
    describe = ec2._ACTION_MAP["DescribeLaunchTemplateVersions"]

    def described(parameters: Parameters) -> Response:
        status, headers, content = describe(parameters)
        if status >= 400:
            return status, headers, content
        answer = ElementTree.fromstring(content)
        for item in answer.iterfind("{*}launchTemplateVersionSet/{*}item"):
            found = ec2._launch_templates[item.findtext("{*}launchTemplateId", "")]
            number = int(item.findtext("{*}versionNumber", "0"))
            (version,) = (v for v in found["Versions"] if v["VersionNumber"] == number)
            item.remove(next(item.iterfind("{*}launchTemplateData")))
            item.append(element("launchTemplateData", version["LaunchTemplateData"]))
        ElementTree.register_namespace("", NAMESPACE)
        return status, headers, ElementTree.tostring(answer, encoding="utf-8", xml_declaration=True)

    ec2._ACTION_MAP["DescribeLaunchTemplateVersions"] = described


def element(name: str, value: Any) -> ElementTree.Element:
    """A property as EC2 writes it: a small first letter, and a list of Xs as xSet with an `item` each."""
    node = ElementTree.Element(f"{{{NAMESPACE}}}{name}")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = key[:1].lower() + key[1:]
            node.append(element(f"{name.removesuffix('s')}Set" if isinstance(inner, list) else name, inner))
    elif isinstance(value, list):
        node.extend(element("item", inner) for inner in value)
    else:
        node.text = str(value).lower() if isinstance(value, bool) else str(value)
    return node
