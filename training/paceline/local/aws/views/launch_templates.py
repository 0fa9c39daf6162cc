"""EC2 launch templates: ministack keeps what a template says of one, but shows a part of it only.

Network interfaces come without their card and type, and neither the reservation, the market nor the placement is shown.
"""

from __future__ import annotations

from ministack.services import ec2

from paceline.local.aws.views import query


def install() -> None:
    """Complete `describe_launch_template_versions`."""
    query.complete("DescribeLaunchTemplateVersions", "launchTemplateVersionSet", _version)


def _version(item: query.Element) -> None:
    found = ec2._launch_templates[item.findtext("{*}launchTemplateId", "")]
    number = int(item.findtext("{*}versionNumber", "0"))
    (version,) = (v for v in found["Versions"] if v["VersionNumber"] == number)
    item.remove(next(item.iterfind("{*}launchTemplateData")))
    item.append(query.element("launchTemplateData", version["LaunchTemplateData"]))
