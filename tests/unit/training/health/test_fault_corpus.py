"""The fault corpus: every sample through parser, finding and catalog; nothing healthy is acted upon."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from paceline.catalog.faults import fault
from paceline.health.base import Check, Node
from paceline.health.examine import examine
from paceline.health.registry import check_type, check_types
from paceline.health.standing import calls_for, worst
from paceline.spec.health import Action, Finding, Result

CORPUS = Path(__file__).parent / "corpus"
SAMPLES: list[dict[str, Any]] = yaml.safe_load((CORPUS / "corpus.yaml").read_text())["samples"]
HEALTHY = [sample for sample in SAMPLES if Path(sample["sample"]).name.startswith("healthy")]
PLANTED = [sample for sample in SAMPLES if isinstance(sample["expect"], list) and sample["expect"]]


class Uptime:
    """A probe that knows how long the machine has been up, and nothing else."""

    def read(self, path: str) -> str:
        assert path == "/proc/uptime"
        return "90000.00 1.00\n"


def replay(sample: dict[str, Any]) -> list[Finding]:
    """What the sample's check says about it."""
    check, node = check_type(Path(sample["sample"]).parent.name.replace("_", "-"))(), node_of(sample)
    text = text_of(sample)

    async def observe(*_: object) -> str:
        return text

    check.observe = observe  # type: ignore[method-assign]
    return asyncio.run(examine(check, Uptime(), node))  # type: ignore[arg-type]


def node_of(sample: dict[str, Any]) -> Node:
    return Node.of("n1", sample.get("node"), **sample.get("said", {}))


def text_of(sample: dict[str, Any]) -> str:
    return (CORPUS / f"{sample['sample']}.txt").read_text()


def found(findings: list[Finding]) -> list[dict[str, Any]]:
    rows = []
    for finding in findings:
        row = fault(finding.fault or "")
        said = {"fault": row.code, "class": row.fault_class.value}
        said["action"] = row.action.name.lower() if row.action is not None else None  # type: ignore[assignment]
        if finding.device is not None:
            said["device"] = finding.device.kind
            if finding.device.index is not None:
                said["index"] = finding.device.index  # type: ignore[assignment]
        rows.append(said)
    return rows


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample["sample"] for sample in SAMPLES])
def test_a_sample_is_found_to_be_what_it_is(sample: dict[str, Any]) -> None:
    findings = replay(sample)

    if sample["expect"] == "unknown":
        assert [finding.result for finding in findings] == [Result.UNKNOWN]
        assert findings[0].evidence
    elif not sample["expect"]:
        assert [finding.result for finding in findings] == [Result.PASS]
    else:
        assert [finding.result for finding in findings] == [Result.FAIL] * len(sample["expect"])
        assert found(findings) == sample["expect"]
        assert all(finding.evidence for finding in findings)


def test_every_sample_is_listed_and_every_check_has_one_of_each_kind() -> None:
    files = {str(path.relative_to(CORPUS).with_suffix("")) for path in CORPUS.rglob("*.txt")}
    assert {sample["sample"] for sample in SAMPLES} == files
    for kind in ("healthy", "planted"):
        samples = HEALTHY if kind == "healthy" else PLANTED
        assert {Path(sample["sample"]).parent.name.replace("_", "-") for sample in samples} == set(check_types())


def test_rates(capsys: pytest.CaptureFixture[str]) -> None:
    healthy = [replay(sample) for sample in HEALTHY]
    planted = [replay(sample) for sample in PLANTED]
    acted = [findings for findings in healthy if worst(findings)[1] > Action.NONE]
    classified = [s for s, findings in zip(PLANTED, planted, strict=True) if found(findings) == s["expect"]]
    unfit = sum(any(calls_for(finding).takes_node for finding in findings) for findings in planted)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfault corpus: {len(HEALTHY)} healthy samples, {len(acted)} false actions; {len(PLANTED)} planted "
            f"faults, {len(classified)} classified as the catalog says, {unfit} of them take the node out\n"
        )
    assert not acted
    assert len(classified) == len(PLANTED) >= 60


def test_a_check_is_planned_only_where_its_hardware_should_be() -> None:
    laptop, gpu, neuron = Node.of("n", None), Node.of("n", "p5.48xlarge"), Node.of("n", "trn2.48xlarge")

    def planned(node: Node) -> set[str]:
        return {name for name, kind in check_types().items() if _applies(kind, node)}

    assert planned(laptop) == {"cpu-stress", "disk-space", "kernel-errors", "memory"}
    assert {"gpu-xid", "dcgm-health", "efa-count"} <= planned(gpu)
    assert not any(name.startswith("gpu-") for name in planned(neuron))
    assert "neuron-health" in planned(neuron)


def _applies(kind: type[Check], node: Node) -> bool:
    return kind().applies(node)
