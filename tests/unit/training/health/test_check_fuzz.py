"""Whatever a tool prints: no parser stumbles, and none calls a node unfit for what it does not understand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.health.base import InconclusiveError, Node, Symptom
from paceline.health.registry import check_type, check_types

CORPUS = Path(__file__).parent / "corpus"
SAMPLES: list[dict[str, Any]] = yaml.safe_load((CORPUS / "corpus.yaml").read_text())["samples"]
HEALTHY = [sample["sample"] for sample in SAMPLES if "/healthy" in sample["sample"]]
BY_NAME = {sample["sample"]: sample for sample in SAMPLES}
SAID = {"shared": ["/fsx"], "driver": "1.2", "image": "ami-0123456789abcdef0"}

# words that mean something to one parser or another, so that garbage is not only noise
WORDS = st.sampled_from(
    [
        "NVRM: Xid (PCI:",
        "GPU 0: ",
        "exit 0",
        "end",
        "Failure",
        "{",
        '"body"',
        "4,1,1,-;",
        "device ",
        "mount ",
        '{"fabric": "exchange"',
        "# Out of bounds values : 0 OK",
        ": ",
        "\n",
    ]
)
GARBAGE = st.lists(st.one_of(st.text(max_size=20), WORDS), max_size=30).map("".join)


def judge(check: str, text: str, node: Node) -> list[Symptom]:
    try:
        judge = check_type(check)()
        symptoms = judge.parse(text, node)
        judge.measure(text, node)  # of what was understood
        return symptoms
    except InconclusiveError:
        return []


@pytest.mark.parametrize("check", sorted(check_types()))
@given(text=GARBAGE)
@settings(max_examples=40, deadline=None)
def test_garbage_is_never_a_fault(check: str, text: str) -> None:
    for node in (Node.of("n", "p5.48xlarge", **SAID), Node.of("n", "trn2.48xlarge", **SAID)):
        assert judge(check, text, node) == []


@pytest.mark.parametrize("sample", HEALTHY)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_a_healthy_output_that_is_cut_off_or_disturbed_is_never_a_fault(sample: str, data: st.DataObject) -> None:
    text = (CORPUS / f"{sample}.txt").read_text()
    row = BY_NAME[sample]
    node = Node.of("n", row.get("node"), **row.get("said", {}))
    check = sample.split("/")[0].replace("_", "-")
    cut = data.draw(st.integers(0, len(text)))

    assert judge(check, text[:cut], node) == []

    lines = text.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines)))
    strange = data.draw(st.text(st.characters(codec="utf-8", exclude_categories=["Nd"]), max_size=60))
    assert judge(check, "".join([*lines[:at], strange + "\n", *lines[at:]]), node) == []
