"""Mistakes in parameter files: each is found, located and explained; all of them in one pass."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from paceline.spec.errors import ParameterError
from stacks.teams import read_teams, select

SHIPPED = Path(__file__).parents[3] / "stacks" / "parameters"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files of one team, as messages would call it from the root of a repository."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "stacks" / "parameters"
    copy.mkdir(parents=True)
    for name in ("platform", "sandbox"):
        shutil.copy(SHIPPED / f"{name}.yaml", copy)
    return copy


def change(directory: Path, old: str, new: str, file: str = "sandbox.yaml") -> None:
    text = (directory / file).read_text()
    assert text.count(old) == 1, f"{old!r} must stand once in {file}"
    (directory / file).write_text(text.replace(old, new))


def line_of(directory: Path, text: str, file: str = "sandbox.yaml") -> int:
    return next(n for n, line in enumerate((directory / file).read_text().splitlines(), 1) if text in line)


def mistakes(directory: Path) -> list[tuple[str, str | None]]:
    with pytest.raises(ParameterError) as caught:
        read_teams(directory)
    return [(problem.message, problem.hint) for problem in caught.value.problems]


def test_shipped_files_are_right(directory: Path) -> None:
    [team] = read_teams(directory)
    assert team.name == "sandbox"
    assert team.parameters.location.region == "us-east-1"  # from platform.yaml
    assert team.parameters.registry.keep_images == 50  # from the defaults


def test_a_team_overrides_the_platform(directory: Path) -> None:
    change(directory, "lifecycle: disposable", "registry:\n  repositories: [gpu]")
    [team] = read_teams(directory)
    assert team.parameters.registry.repositories == ("gpu",)


def test_a_mistyped_key_is_located_and_the_right_one_named(directory: Path) -> None:
    change(directory, "size_gib:", "size_gb:")
    where = line_of(directory, "size_gb")
    assert mistakes(directory) == [
        (
            f"stacks/parameters/sandbox.yaml:{where}: storage.file_system.size_gb: unknown field",
            "did you mean `size_gib`?",
        )
    ]


def test_all_mistakes_of_all_files_come_at_once(directory: Path) -> None:
    shutil.copy(directory / "sandbox.yaml", directory / "vision.yaml")
    change(directory, "cidr: 10.64.0.0/16", "cidr: 8.8.0.0/16")
    change(directory, "use1-az2:", "us-east-1b:")
    change(directory, "zone: use1-az1", "zon: use1-az1")
    change(directory, '"123456789012"', "123456789012", file="vision.yaml")
    change(directory, "lifecycle: disposable", "lifecycle: forever", file="vision.yaml")
    messages = [message for message, _ in mistakes(directory)]
    assert [message.split(": ")[1] for message in messages] == [
        "network.cidr",
        "network.subnets.us-east-1b",
        "storage.file_system.zon",
        "location.account",
        "lifecycle",
    ]
    assert sum("vision.yaml:" in message for message in messages) == 2


def test_a_mistake_of_the_platform_is_said_once(directory: Path) -> None:
    text = (directory / "sandbox.yaml").read_text()
    (directory / "vision.yaml").write_text(text.replace("10.64.", "10.65."))
    change(directory, "interface_endpoints:", "interface_endpoint:", file="platform.yaml")
    [(message, hint)] = mistakes(directory)
    assert message.startswith("stacks/parameters/platform.yaml:")
    assert hint == "did you mean `interface_endpoints`?"


@pytest.mark.parametrize(
    ("old", "new", "path", "reason", "hint"),
    [
        ('"123456789012"', "123456789012", "location.account", "leading zeros", 'write "123456789012"'),
        ("size_gib: 1200", "size_gib: 1300", "storage.file_system.size_gib", "2400 GiB, not 1300", "1200, 2400"),
        ("    zone:", "    efa: true\n    zone:", "storage.file_system.size_gib", "with EFA", "38400"),
        ("    zone:", "    mbps_per_tib: 300\n    zone:", "storage.file_system.mbps_per_tib", "no tier", "125, 250"),
        ("zone: use1-az1", "zone: use1-az9", "storage.file_system.zone", "not a zone of", "did you mean `use1-az"),
        ("use1-az2:", "us-east-1b:", "network.subnets.us-east-1b", "not an availability-zone id", "use1-az1"),
        ("use1-az2:", "usw2-az2:", "network.subnets.usw2-az2", "not in us-east-1", "start with use1-"),
        ("10.64.64.0/18", "10.65.0.0/18", "network.subnets.use1-az2", "outside the VPC", "inside network.cidr"),
        ("10.64.64.0/18", "10.64.32.0/19", "network.subnets.use1-az2", "overlaps", "move one"),
        ("10.64.64.0/18", "10.64.64.0/28", "network.subnets.use1-az2", "11 usable addresses, and 16", "larger"),
        ("10.64.64.0/18", "10.64.64.0/29", "network.subnets.use1-az2", "from /16 to /28", "choose a size"),
        ("cidr: 10.64.0.0/16", "cidr: 8.8.0.0/16", "network.cidr", "not a private range", "10.0.0.0/8"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused_before(
    directory: Path, old: str, new: str, path: str, reason: str, hint: str
) -> None:
    change(directory, old, new)
    found = [(message, cure) for message, cure in mistakes(directory) if f": {path}: " in message]
    [(message, cure)] = found
    key = path.rsplit(".", 1)[-1]
    assert message.startswith(f"stacks/parameters/sandbox.yaml:{line_of(directory, f'{key}:')}: ")
    assert reason in message
    assert hint in (cure or "")


def test_two_teams_with_the_same_addresses_are_refused(directory: Path) -> None:
    shutil.copy(directory / "sandbox.yaml", directory / "vision.yaml")
    [(message, _)] = mistakes(directory)
    assert message.endswith("network.cidr: 10.64.0.0/16 overlaps 10.64.0.0/16 of sandbox")


def test_two_accounts_may_use_the_same_addresses(directory: Path) -> None:
    text = (directory / "sandbox.yaml").read_text()
    (directory / "vision.yaml").write_text(text.replace("123456789012", "210987654321"))
    assert [team.name for team in read_teams(directory)] == ["sandbox", "vision"]


def test_a_missing_required_key_is_named(directory: Path) -> None:
    change(directory, "    size_gib: 1200\n", "")
    assert mistakes(directory)[0][1] == "add `size_gib:`"


def test_broken_yaml_is_located(directory: Path) -> None:
    change(directory, "lifecycle: disposable", "lifecycle: [disposable")
    assert mistakes(directory)[0][0].startswith("stacks/parameters/sandbox.yaml:")


@pytest.mark.parametrize(
    ("name", "hint"), [("vision.yml", "rename it to vision.yaml"), ("Vision_1.yaml", "use 2 to 20 lower-case letters")]
)
def test_a_file_that_would_be_ignored_is_refused(directory: Path, name: str, hint: str) -> None:
    (directory / name).touch()
    [(_, cure)] = mistakes(directory)
    assert (cure or "").startswith(hint)


def test_no_directory_no_platform_no_team(directory: Path) -> None:
    (directory / "sandbox.yaml").unlink()
    assert "no team file" in mistakes(directory)[0][0]
    (directory / "platform.yaml").unlink()
    assert "platform.yaml: no such file" in mistakes(directory)[0][0]
    shutil.rmtree(directory)
    assert "no such directory" in mistakes(directory)[0][0]


def test_shipped_files_name_their_schema() -> None:
    for path in SHIPPED.glob("*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=./schema.json\n")
        assert yaml.safe_load(path.read_text())


def test_a_folder_that_cannot_be_read_is_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert mistakes(directory) == [("stacks/parameters: cannot be read: Permission denied", "let yourself read it")]


def test_chosen_teams_are_those_named(directory: Path) -> None:
    [team] = read_teams(directory)
    other = replace(team, name="vision")
    assert select([team, other], "vision") == (other,)
    assert select([team, other], "vision,sandbox,vision") == (other, team)


def test_every_unknown_team_is_told_with_the_nearest(directory: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        select(read_teams(directory), "sanbox,vision")
    assert [(problem.message, problem.hint) for problem in caught.value.problems] == [
        ("sanbox: no such team", "did you mean `sandbox`?"),
        ("vision: no such team", "there is: sandbox"),
    ]
