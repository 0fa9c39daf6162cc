"""Whether the node runs the driver and the machine image that its cluster's nodes should run, and no driver that is too
old for the container images."""

from __future__ import annotations

import json
import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.sysfs import files, parse_files
from paceline.images.requirement import numbers

_DRIVERS = {"nvidia": "/sys/module/nvidia/version", "neuron": "/sys/module/neuron/version"}
_CLOUD_INIT = "/run/cloud-init/instance-data.json"
_IMAGE = re.compile(r"ami-[0-9a-f]{8,17}")


class Drift(Check):
    """The version of the loaded kernel module, and the image that cloud-init was started from."""

    finds = "another driver or machine image than the cluster's nodes should have, or a driver too old for its images"
    stages = QUICK
    period = 600.0

    def applies(self, node: Node) -> bool:
        return node.image is not None or _module(node) is not None

    async def observe(self, probe: Probe, node: Node) -> str:
        module = _module(node)
        text = files(probe, *([module] if module else []))
        if node.image is None:
            return text
        try:
            image = json.loads(probe.read(_CLOUD_INIT))["ds"]["meta_data"]["ami-id"]
        except (ValueError, KeyError, TypeError):
            raise InconclusiveError(f"{_CLOUD_INIT} does not say which image this is") from None
        return text.replace("end\n", f"/image: {image}\nend\n")

    def parse(self, text: str, node: Node) -> list[Symptom]:
        seen = parse_files(text)
        found = []
        if (module := _module(node)) is not None:
            version = seen.get(module, "")
            if not re.fullmatch(r"\d+(\.\d+)+", version):
                raise InconclusiveError(f"the driver's version is {version[:40]!r}")
            if node.driver_floor is not None and numbers(version) < numbers(node.driver_floor):
                evidence = f"driver {version}, and the images of this cluster need {node.driver_floor}"
                found.append(Symptom(fault="host.driver_too_old", evidence=evidence))
            elif node.driver is not None and version != node.driver:
                evidence = f"driver {version}, should be {node.driver}"
                found.append(Symptom(fault="host.driver_drift", evidence=evidence))
        if node.image is not None:
            image = seen.get("/image", "")
            if not _IMAGE.fullmatch(image):
                raise InconclusiveError(f"the image is {image[:40]!r}")
            if image != node.image:
                found.append(Symptom(fault="host.image_drift", evidence=f"image {image}, should be {node.image}"))
        return found


def _module(node: Node) -> str | None:
    """The file that holds the driver's version, when anybody has said what it should be."""
    asked = node.driver is not None or node.driver_floor is not None
    return _DRIVERS[node.family] if asked and node.family is not None else None
