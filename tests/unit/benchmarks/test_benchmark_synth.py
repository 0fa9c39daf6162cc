"""The teams of the benchmark of synthesis, and what its peer is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.synth import EVERY_CHECK, PEERS, TEAMS, copy_with_teams
from paceline.catalog.instance_types import instance_types
from stacks.teams import read_teams


def test_the_teams_are_right_together(tmp_path: Path) -> None:
    """The validators refuse addresses that overlap, so as many teams as are measured are told apart."""
    copy_with_teams(tmp_path / "app", 7)
    teams = read_teams(tmp_path / "app" / "stacks" / "parameters")
    assert [team.name for team in teams] == [
        *("sandbox-2", "sandbox-5", "speech-0", "speech-3", "speech-6", "vision-1", "vision-4"),
    ]
    assert len({team.parameters.network.cidr for team in teams}) == len(teams)


def test_there_are_addresses_for_every_team() -> None:
    assert max(*TEAMS, *EVERY_CHECK) <= 256


@pytest.mark.parametrize("name", ["trn2.48xlarge", "p4d.24xlarge"])
def test_the_peer_is_told_what_the_catalog_knows(name: str) -> None:
    answers = yaml.safe_load((PEERS / "parallelcluster_answers.yaml").read_text(encoding="utf-8"))
    told, known = answers["DescribeInstanceTypes"][name], instance_types()[name]
    network = told["NetworkInfo"]
    assert told["VCpuInfo"]["DefaultVCpus"] == known.vcpu
    assert network["MaximumNetworkCards"] == known.network_cards == len(network["NetworkCards"])
    assert network["EfaInfo"]["MaximumEfaInterfaces"] == known.max_efa_interfaces
    assert {card["MaximumNetworkInterfaces"] for card in network["NetworkCards"]} == {known.max_enis_per_card}
