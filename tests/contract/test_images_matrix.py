"""Versions of images live in images/versions.toml; everything else that names one agrees with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import paceline
from paceline.images.environment import read_environment
from paceline.images.matrix import read
from paceline.images.reference import DOCUMENT, render
from paceline.images.requirement import Requirement
from paceline.images.rules import check

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "images"
LOCATED = read(IMAGES / "versions.toml")
MATRIX = LOCATED.matrix
NAMES = sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))


def dockerfile(name: str) -> str:
    return (IMAGES / name / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def pins(path: Path) -> dict[str, set[str]]:
    """Package to the versions pinned in a requirements file; there are several where Pythons differ."""
    found: dict[str, set[str]] = {}
    for name, pinned in re.findall(r"(?m)^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", path.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(pinned)
    return found


def test_the_matrix_goes_together() -> None:
    assert check(LOCATED) is MATRIX


def test_every_folder_with_a_dockerfile_is_an_image_and_has_a_smoke_test() -> None:
    assert set(NAMES) <= set(MATRIX.images)
    assert [name for name in NAMES if not (IMAGES / name / "smoke.py").is_file()] == []


def test_the_matrix_names_the_version_of_this_repository() -> None:
    assert MATRIX.version == paceline.__version__
    assert f'default = "{MATRIX.version}"' in (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_a_dockerfile_is_the_matrix(name: str) -> None:
    image = MATRIX.images[name]
    known = {"base": MATRIX.base_of(name).reference, **image.arguments}
    known |= {key: part.version for key, part in image.contents.items() if part.version}
    known = {key.upper().replace("-", "_"): value for key, value in known.items()}
    arguments = {key: value.strip('"') for key, value in re.findall(r"(?m)^ARG (\w+)=(.+)$", dockerfile(name))}
    assert arguments == {key: known[key] for key in arguments}
    assert {"BASE", *(key.upper() for key in image.arguments)} <= set(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_build_installs_is_the_matrix(name: str) -> None:
    for path in (IMAGES / name).glob("*.txt"):
        for package, versions in pins(path).items():
            for part in MATRIX.images[name].contents.values():
                if part.probe == f"python:{package}":
                    assert versions == {part.version}, path


@pytest.mark.parametrize("name", NAMES)
def test_an_image_sets_what_its_environment_gives_a_reason_for(name: str) -> None:
    file = IMAGES / name / "environment"
    wanted = {variable.name: variable.value for variable in read_environment(file)} if file.exists() else {}
    final = dockerfile(name).rpartition("\nFROM ")[2]
    lines = re.findall(r"(?m)^ENV (.+)$", final)
    found = dict(word.split("=", 1) for line in lines for word in line.split())
    assert found == wanted | ({"PATH": found["PATH"]} if "PATH" in found else {})
    assert set(found) & set(MATRIX.obsolete) == set()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_installed_when_a_container_starts(name: str) -> None:
    starts = re.findall(r"(?m)^(?:ENTRYPOINT|CMD) (.+)$", dockerfile(name))
    assert not any(
        re.search(r"\b(pip|apt|dnf|curl|sh|bash)\b(?!oint)", start) for start in starts if "entrypoint.sh" not in start
    )


@pytest.mark.parametrize("name", sorted({*NAMES} - {"cluster-tools"}))
def test_an_image_does_not_run_as_root(name: str) -> None:
    assert re.findall(r"(?m)^USER (.+)$", dockerfile(name))[-1:] == ["10001"]


def test_set_up_and_image_install_the_same_torch() -> None:
    setup = (ROOT / "tools" / "setup.py").read_text(encoding="utf-8")
    assert f'TORCH = "torch=={MATRIX.images["cpu"].contents["torch"].version}"' in setup
    assert f'TORCH_CPU_INDEX = "{MATRIX.images["cpu"].arguments["torch_index"]}"' in setup


def test_the_package_takes_the_torch_of_every_image() -> None:
    project = tomllib.loads((ROOT / "training" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [wanted] = [line for line in project["optional-dependencies"]["train"] if line.startswith("torch")]
    [rule] = [rule for rule in MATRIX.rules if rule.when == Requirement.parse("torch")]
    assert str(rule.needs) == wanted


def test_the_cpu_image_holds_what_was_tested() -> None:
    tested = pins(ROOT / "requirements-dev.txt")
    inside = pins(IMAGES / "cpu" / "requirements.txt")
    assert len(inside) > 20
    assert inside == {name: tested[name] for name in inside}


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*/*.txt")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_package_of_an_image_is_pinned_with_hashes_and_names_no_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_the_reference_is_what_the_matrix_says() -> None:
    assert (ROOT / DOCUMENT).read_text(encoding="utf-8") == render(ROOT), "run `make schemas`"
