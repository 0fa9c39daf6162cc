"""A collective between all NeuronCores of the node, with checks of the results."""

from __future__ import annotations

import re

from paceline.health.base import EXCLUSIVE, Check, InconclusiveError, Node, Probe, Symptom, printed

_FAILED = re.compile(r"^\s*\d+ errors found - test failed\s*$", re.MULTILINE)
_BANDWIDTH = re.compile(r"Avg bus bandwidth:\s*[\d.]+\s*GB/s")


class NccomSingle(Check):
    """`nccom-test`."""

    finds = "collectives between the node's Neuron devices that fail"
    stages = EXCLUSIVE
    cost = 120.0
    timeout = 600.0

    def applies(self, node: Node) -> bool:
        return node.family == "neuron" and node.neuron_cores is not None

    async def observe(self, probe: Probe, node: Node) -> str:
        sizes = ("--minbytes", "32mb", "--maxbytes", "512mb", "--stepfactor", "4", "--datatype", "fp32")
        command = ("nccom-test", "-r", str(node.neuron_cores), *sizes, "--check", "--non-interactive", "allr")
        return (await probe.run(*command, timeout=590.0)).recorded()

    def parse(self, text: str, node: Node) -> list[Symptom]:
        body, code = printed(text)
        if _FAILED.search(body):
            return [Symptom(fault="deep.nccom_failed", evidence=body[-1000:])]
        if code != 0 or not _BANDWIDTH.search(body):
            raise InconclusiveError(f"nccom-test: {body[-200:]}")
        return []
