"""`paceline catalog`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paceline.catalog.instance_types import instance_types
from paceline.cli.main import app
from paceline.clients import ec2


def paceline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["catalog", *arguments])


def test_ls_shows_every_type_and_what_is_unknown() -> None:
    lines = paceline("ls").stdout.splitlines()
    assert len(lines) == len(instance_types()) + 1 >= 19
    [unknown] = [line for line in lines if line.startswith("trn3-gen1 ")]
    assert unknown.split()[-1] == "?"


def test_ls_for_programs() -> None:
    rows = json.loads(paceline("ls", "-o", "json").stdout)
    assert [row["instance_type"] for row in rows] == list(instance_types())


def test_show_expands_the_layouts_and_the_sources() -> None:
    facts = json.loads(paceline("show", "p6-b300.48xlarge", "-o", "json").stdout)
    interfaces = facts["layouts"]["efa_only"]["interfaces"]
    assert len(interfaces) == 17
    assert interfaces[0] == {"card": 0, "device": 0, "kind": "ena"}
    assert facts["max_efa_interfaces"] == 16
    assert all(text for text in facts["sources"].values())


def test_show_keeps_what_nobody_verified() -> None:
    facts = json.loads(paceline("show", "trn3-gen1", "-o", "json").stdout)
    assert facts["layouts"] is None
    assert facts["neuron_cores"] is None


def test_an_unknown_type_is_a_user_error() -> None:
    result = paceline("show", "p5.48xlarg")
    assert result.exit_code == 1
    assert "did you mean `p5.48xlarge`?" in result.stderr


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What EC2 answers, by type."""
    answers: dict[str, Any] = {}
    monkeypatch.setattr(ec2, "client", lambda region: None)
    monkeypatch.setattr(ec2, "instance_types", lambda client, names: {n: answers[n] for n in names if n in answers})
    return answers


def trainium(vcpu: int) -> dict[str, Any]:
    card = {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 4}
    return {
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": vcpu},
        "MemoryInfo": {"SizeInMiB": 32 * 1024},
        "NetworkInfo": {"MaximumNetworkCards": 1, "MaximumNetworkInterfaces": 4, "NetworkCards": [card]},
    }


def test_verify_is_content_when_nothing_differs(answer: dict[str, Any]) -> None:
    answer["trn1.2xlarge"] = trainium(vcpu=8)
    result = paceline("verify")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "1 types compared, 0 differences" in result.stderr
    assert "not in the region: p4d.24xlarge" in result.stderr


def test_verify_prints_differences_and_exits_with_1(answer: dict[str, Any]) -> None:
    answer["trn1.2xlarge"] = trainium(vcpu=16)
    result = paceline("verify", "trn1.2xlarge")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].split() == ["trn1.2xlarge", "vcpu", "8", "16"]
    found = json.loads(paceline("verify", "trn1.2xlarge", "-o", "json").stdout)
    assert found["differences"] == [{"instance_type": "trn1.2xlarge", "fact": "vcpu", "catalog": 8, "ec2": 16}]
