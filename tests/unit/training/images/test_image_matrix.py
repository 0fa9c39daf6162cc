"""The matrix of images: every value has a place, and what is wrong is told with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.images.matrix import find, read
from paceline.images.rules import check, driver_floor
from paceline.spec.errors import ImageError

TEXT = """\
version = "1.0"

[sources]
maker = "somewhere"

[bases.python]
name = "docker.io/library/python"
tag = "3.11"
digest = ""
sources = ["maker"]

[images.gpu]
title = "trains"
base = "python"
stack = "torch2.13"
arguments = {}

[images.gpu.contents]
cuda = { version = "13.3.0", sources = ["maker"] }
efa = { unknown = "nobody says", sources = ["maker"] }

[images.gpu.host]
nvidia-driver = { version = "580.126", sources = ["maker"] }

[[rules]]
when = "cuda==13.*"
needs = "nvidia-driver>=580"
sources = ["maker"]

[obsolete]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "images" / "versions.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ImageError) as refusal:
        check(read(write(folder, text)), pinned=False)
    return refusal.value.render()


def test_what_is_unknown_has_no_version(tmp_path: Path) -> None:
    matrix = check(read(write(tmp_path, TEXT)))

    assert matrix.images["gpu"].contents["efa"].model_dump(mode="json")["version"] is None
    assert matrix.base_of("gpu").reference == "docker.io/library/python:3.11"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tag = "3.11"', "tag = 3.11", "images/versions.toml:8: bases.python.tag"),
        ('stack = "torch2.13"', 'stak = "torch2.13"', "did you mean `stack`?"),
        ('version = "13.3.0", ', "", "images/versions.toml:19: images.gpu.contents.cuda: either a version or why"),
        ('digest = ""', 'digest = "latest"', "images/versions.toml:9: bases.python.digest"),
        (
            'needs = "nvidia-driver>=580"',
            'needs = "nvidia-driver~580"',
            "images/versions.toml:27: rules.0.needs: not a",
        ),
        ('base = "python"', 'base = "pyton"', "did you mean `python`?"),
        (
            'version = "13.3.0", sources = ["maker"]',
            'version = "13.3.0", sources = ["x"]',
            "images/versions.toml:19: images.",
        ),
        ("[obsolete]", "[obsolete", "images/versions.toml:"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    assert message in refused(tmp_path, TEXT.replace(old, new))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = TEXT.replace('tag = "3.11"', "tag = 3.11").replace('title = "trains"', "title = 1")

    assert refused(tmp_path, text).count("error:") == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"580.126"', '"570.133"', "versions.toml:23: images.gpu.host.nvidia-driver: 570.133, but cuda 13.3.0 needs"),
        (
            'nvidia-driver = { version = "580.126"',
            'nvidia-driver = { unknown = "?"',
            "unknown: ?, but cuda 13.3.0 needs",
        ),
        (
            'nvidia-driver = { version = "580.126", sources = ["maker"] }',
            "",
            "images.gpu: cuda 13.3.0 needs nvidia-driver>=580",
        ),
    ],
)
def test_a_broken_rule_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    assert message in refused(tmp_path, TEXT.replace(old, new))


def test_a_rule_that_does_not_apply_asks_for_nothing(tmp_path: Path) -> None:
    text = TEXT.replace('"580.126"', '"535.0"').replace('"13.3.0"', '"12.9.1"')

    assert check(read(write(tmp_path, text))).images["gpu"].host["nvidia-driver"].version == "535.0"


def test_a_base_without_a_digest_is_not_deployed(tmp_path: Path) -> None:
    located = read(write(tmp_path, TEXT))

    with pytest.raises(ImageError, match=r"versions.toml:9: bases.python.digest: empty"):
        check(located, pinned=True)
    full = read(write(tmp_path, TEXT.replace('digest = ""', f'digest = "sha256:{"a" * 64}"')))
    assert check(full, pinned=True).base_of("gpu").reference.endswith(f"3.11@sha256:{'a' * 64}")


def test_a_driver_must_be_as_new_as_the_most_demanding_image_asks(tmp_path: Path) -> None:
    matrix = read(write(tmp_path, TEXT)).matrix
    gpu = matrix.images["gpu"]
    older = gpu.model_copy(
        update={"host": {"nvidia-driver": gpu.host["nvidia-driver"].model_copy(update={"version": "99"})}}
    )
    both = matrix.model_copy(update={"images": {"gpu": gpu, "older": older}})

    assert driver_floor(both, "nvidia-driver") == "580.126"
    assert driver_floor(both, "neuron-driver") is None


def test_what_nobody_knows_of_a_driver_asks_for_nothing() -> None:
    matrix = read(find(Path(__file__))).matrix

    assert matrix.images["trainium-native"].host["neuron-driver"].version is None
    assert driver_floor(matrix, "neuron-driver") == "2.27"


def test_a_matrix_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone.toml: cannot be read: No such file"):
        read(tmp_path / "gone.toml")


def test_the_matrix_is_found_from_below_and_missed_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)

    assert find(path.parent) == path
    with pytest.raises(ImageError, match="not inside a checkout"):
        find(Path("/"))
