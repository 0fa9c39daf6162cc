"""The first boot of a Slurm node: well-formed, parsed by bash, small enough, and without anything secret."""

from __future__ import annotations

import email
import re

import yaml

from paceline.catalog.slurm import pcs
from paceline_constructs.slurm.settings import all_settings, own_settings
from paceline_constructs.slurm.user_data import BIN, MAX_BYTES, NodeProps, user_data

TEXT = user_data(
    NodeProps(
        team="a-team-of-20-letters",
        family="nvidia",
        accelerators=8,
        driver_floor="580",
        homes_parameter="/paceline/a-team-of-20-letters/slurm/homes",
        lustre_parameter="/paceline/a-team-of-20-letters/slurm/lustre",
        registry_parameter="/paceline/a-team-of-20-letters/registry/repository-prefix",
        containers=True,
        agent_digest=f"sha256:{'0' * 64}",
    )
)


def files() -> dict[str, str]:
    """What cloud-init writes, by path."""
    config, _ = email.message_from_string(TEXT).get_payload()
    return {file["path"]: file["content"] for file in yaml.safe_load(config.get_payload())["write_files"]}


def test_it_fits_and_is_ascii() -> None:
    assert len(TEXT.encode("ascii")) < MAX_BYTES


def test_files_come_before_pcs_and_the_script_after_it() -> None:
    config, script = email.message_from_string(TEXT).get_payload()
    assert (config.get_content_type(), script.get_content_type()) == ("text/cloud-config", "text/x-shellscript")
    assert config.get_payload().startswith("#cloud-config\n")
    assert script.get_payload().startswith("#!/bin/bash\n")


def test_every_step_and_hook_is_written() -> None:
    _, boot = email.message_from_string(TEXT).get_payload()
    [steps] = re.findall(r"for step in (.*); do", boot.get_payload())
    assert {f"{BIN}/{step}" for step in steps.split()} < set(files())
    own = own_settings(pcs().ports, with_accounts=True)
    assert {own["Prolog"], own["Epilog"], own["HealthCheckProgram"]} < set(files())


def test_every_variable_that_a_script_reads_is_written() -> None:
    written = set(re.findall(r"^(PACELINE_\w+)=", files()["/etc/paceline/node.env"], re.MULTILINE))
    read = set(re.findall(r"\$\{?(PACELINE_\w+)", TEXT))
    assert read == written


def test_nothing_is_secret_and_nothing_comes_from_the_internet() -> None:
    assert not re.search(r"AKIA|SecretAccessKey|BEGIN [A-Z ]*PRIVATE KEY|password=", TEXT)
    addresses = re.findall(r"https?://[^\s/\"']+", TEXT)
    assert set(addresses) == {"http://169.254.169.254"}


def test_settings_of_paceline_are_allowed_by_pcs() -> None:
    assert set(own_settings(pcs().ports, with_accounts=True)) <= set(pcs().settings)


def test_a_team_keeps_its_scheduler_parameters_beside_ours() -> None:
    team = {"SchedulerParameters": "bf_window=4320,nohold_on_prolog_fail", "MinJobAge": "600"}
    settings = all_settings(team, pcs().ports, with_accounts=False)
    assert settings["SchedulerParameters"] == "bf_window=4320,nohold_on_prolog_fail"
    assert settings["MinJobAge"] == "600"
    assert all_settings({}, pcs().ports, with_accounts=False)["SchedulerParameters"] == "nohold_on_prolog_fail"
