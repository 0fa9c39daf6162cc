"""Whether the node runs the driver and the machine image that its cluster's nodes should run."""

from __future__ import annotations

import json
import re

from paceline.health.base import QUICK, Check, InconclusiveError, Node, Probe, Symptom
from paceline.health.sysfs import files, parse_files

_DRIVERS = {"nvidia": "/sys/module/nvidia/version", "neuron": "/sys/module/neuron/version"}
_CLOUD_INIT = "/run/cloud-init/instance-data.json"
_IMAGE = re.compile(r"ami-[0-9a-f]{8,17}")


class Drift(Check):
    """The version of the loaded kernel module, and the image that cloud-init was started from."""

    finds = "another driver or machine image than the cluster's nodes should have"
    stages = QUICK
    period = 600.0

    def applies(self, node: Node) -> bool:
        return node.image is not None or (node.driver is not None and node.family is not None)

    async def observe(self, probe: Probe, node: Node) -> str:
        wanted = [_DRIVERS[node.family]] if node.driver is not None and node.family is not None else []
        text = files(probe, *wanted)
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
        if node.driver is not None and node.family is not None:
            version = seen.get(_DRIVERS[node.family], "")
            if not re.fullmatch(r"\d+(\.\d+)+", version):
                raise InconclusiveError(f"the driver's version is {version[:40]!r}")
            if version != node.driver:
                evidence = f"driver {version}, should be {node.driver}"
                found.append(Symptom(fault="host.driver_drift", evidence=evidence))
        if node.image is not None:
            image = seen.get("/image", "")
            if not _IMAGE.fullmatch(image):
                raise InconclusiveError(f"the image is {image[:40]!r}")
            if image != node.image:
                found.append(Symptom(fault="host.image_drift", evidence=f"image {image}, should be {node.image}"))
        return found
