"""YAML documents: origins of every value, layers, and every problem reported at once with its place and cure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from paceline.spec.base import Record
from paceline.spec.documents import Document, dotted, nearest, override, parse, read, validate
from paceline.spec.errors import PacelineError, ParameterError


class Disk(Record):
    kind: Literal["disk"] = "disk"
    size_gib: int


class Bucket(Record):
    kind: Literal["bucket"] = "bucket"
    versioned: bool = True


class Pool(Record):
    instance_type: str
    count: int = Field(default=1, ge=0)


class Team(Record):
    name: str
    pools: tuple[Pool, ...] = ()
    storage: Annotated[Disk | Bucket, Field(discriminator="kind")] | None = None
    owner: Disk | Bucket | None = None
    tags: dict[str, Pool] = Field(default_factory=dict)


def problems(text: str) -> list[tuple[str, str | None]]:
    with pytest.raises(ParameterError) as caught:
        validate(Team, parse(text, "team.yaml", ParameterError), ParameterError)
    return [(problem.message, problem.hint) for problem in caught.value.problems]


def message(error: Any) -> str:
    return str(error.value)


# --- reading


def test_every_value_knows_its_line() -> None:
    document = parse("name: vision\npools:\n  - instance_type: p5\n    count: 2\n", "team.yaml", ParameterError)

    assert document.data == {"name": "vision", "pools": [{"instance_type": "p5", "count": 2}]}
    assert str(document.origin(("name",))) == "team.yaml:1"
    assert str(document.origin(("pools", 0, "count"))) == "team.yaml:4"


def test_a_value_without_an_origin_has_that_of_what_encloses_it() -> None:
    document = parse("pools:\n  - instance_type: p5\n", "team.yaml", ParameterError)

    assert str(document.origin(("pools", 0, "count"))) == "team.yaml:2"
    assert str(Document(data={}).origin(("name",))) == "defaults"


def test_an_empty_file_is_an_empty_document() -> None:
    assert parse("# nothing yet\n", "team.yaml", ParameterError).data == {}


def test_a_key_written_twice_is_refused_at_its_second_line() -> None:
    with pytest.raises(ParameterError) as caught:
        parse("name: a\nstorage:\n  kind: disk\n  kind: bucket\nname: b\n", "team.yaml", ParameterError)

    assert [p.message for p in caught.value.problems] == [
        "team.yaml:4: storage.kind: written twice",
        "team.yaml:5: name: written twice",
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "3"])
def test_the_top_level_must_be_a_mapping(text: str) -> None:
    with pytest.raises(ParameterError, match="team.yaml:1: the top level must be a mapping"):
        parse(text, "team.yaml", ParameterError)


def test_bad_yaml_names_its_line() -> None:
    with pytest.raises(ParameterError) as caught:
        parse("name: a\npools: [1, 2\nstorage: x\n", "team.yaml", ParameterError)

    assert message(caught).startswith("team.yaml:3: ")


def test_an_unreadable_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"team\.yaml: cannot be read: "):
        read(tmp_path / "missing.yaml", ParameterError, name="team.yaml")


def test_a_file_that_is_not_text_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_bytes(b"name: \xff\xfe")

    with pytest.raises(ParameterError, match="cannot be read"):
        read(tmp_path / "team.yaml", ParameterError)


scalars = st.none() | st.booleans() | st.integers() | st.text("abcdef", max_size=4)
keys = st.text("abc", min_size=1, max_size=2)
trees = st.dictionaries(
    keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)


def paths(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, child in children for found in paths(child, (*path, key)))]


@given(data=trees)
def test_each_path_of_a_parsed_file_has_an_origin(data: dict[str, Any]) -> None:
    document = parse(yaml.safe_dump(data), "x.yaml", ParameterError)

    assert document.data == data
    assert set(document.origins) == set(paths(data))


# --- layers


def test_a_layer_merges_mappings_and_replaces_the_rest() -> None:
    platform = parse(
        "name: all\nstorage:\n  kind: disk\n  size_gib: 1\npools: [{instance_type: a}]", "p", ParameterError
    )
    team = parse("storage:\n  size_gib: 2\npools: []\n", "t", ParameterError)

    merged = team.over(platform)

    assert merged.data == {"name": "all", "storage": {"kind": "disk", "size_gib": 2}, "pools": []}
    assert str(merged.origin(("storage", "kind"))) == "p:3"
    assert str(merged.origin(("storage", "size_gib"))) == "t:2"
    assert str(merged.origin(("pools", 0, "instance_type"))) == "t:3"  # the base's list, and its origins, are gone


@given(base=trees, over=trees)
def test_what_the_upper_layer_says_comes_from_it(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = parse(yaml.safe_dump(over), "over", ParameterError).over(
        parse(yaml.safe_dump(base), "base", ParameterError)
    )

    assert set(merged.origins) == set(paths(merged.data))
    for path in paths(over):
        assert merged.origins[path].source == "over"


def test_an_override_is_a_document_of_one_value() -> None:
    document = override("pools.count", "[1, 2]", "--set", ParameterError)

    assert document.data == {"pools": {"count": [1, 2]}}
    assert str(document.origin(("pools", "count"))) == "--set pools.count"


@pytest.mark.parametrize(("path", "value"), [("", "1"), ("a..b", "1"), ("a", "[1,")])
def test_a_bad_override_is_a_user_error(path: str, value: str) -> None:
    with pytest.raises(ParameterError, match="^--set "):
        override(path, value, "--set", ParameterError)


# --- validation


def test_all_problems_are_reported_at_once() -> None:
    text = "nmae: vision\npools:\n  - instance_tpye: p5\n  - instance_type: p5\n    count: -1\nfoo: 1\n"

    assert problems(text) == [
        ("team.yaml:3: pools.0.instance_tpye: unknown field", "did you mean `instance_type`?"),
        ("team.yaml:5: pools.1.count: input should be greater than or equal to 0 (got -1)", None),
        ("team.yaml:1: nmae: unknown field", "did you mean `name`?"),
        ("team.yaml:6: foo: unknown field", "there is: name, owner, pools, storage, tags"),
    ]


def test_a_missing_key_is_reported_where_it_belongs() -> None:
    assert problems("name: a\npools:\n  - count: 1\n") == [
        ("team.yaml:3: pools.0.instance_type: required, but not given", "add `instance_type:`")
    ]


def test_a_misspelt_key_does_not_hide_another_missing_one() -> None:
    found = problems("nmae: a\npools:\n  - count: 1\n")

    assert ("team.yaml:3: pools.0.instance_type: required, but not given", "add `instance_type:`") in found
    assert len(found) == 2


@pytest.mark.parametrize("section", ["storage", "owner"])
def test_names_of_union_members_do_not_appear_in_paths(section: str) -> None:
    found = problems(f"name: a\n{section}:\n  kind: disk\n  size_gb: 4\n")

    assert (f"team.yaml:4: {section}.size_gb: unknown field", "did you mean `size_gib`?") in found
    assert all("Disk" not in text and "Bucket" not in text for text, _ in found)


def test_values_of_a_mapping_are_located() -> None:
    assert problems("name: a\ntags:\n  x:\n    instance_type: p5\n    cuont: 1\n") == [
        ("team.yaml:5: tags.x.cuont: unknown field", "did you mean `count`?")
    ]


def test_a_valid_document_becomes_the_model() -> None:
    team = validate(Team, parse("name: a\nstorage: {kind: bucket}", "t", ParameterError), PacelineError)

    assert team == Team(name="a", storage=Bucket())


def test_nearest_lists_what_there_is_when_nothing_is_near() -> None:
    assert nearest("recpie", ["recipe", "run"]) == "did you mean `recipe`?"
    assert nearest("zzz", ["b", "a"]) == "there is: a, b"


def test_dotted() -> None:
    assert dotted(("pools", 0, "count")) == "pools.0.count"
