"""Every rule refuses the fault that it exists for, at its line, with its path, its reason and its cure.

A file of `faults/` holds the rules of a room, a row each:

rule        what is forbidden, unique among all files
team        the shipped team that the fault is planted in; sandbox when not given
change      dotted path to the wrong value; a number in the path is a place in a list
remove      dotted paths of keys to leave out
beside      other shipped teams that the rule looks at
neighbours  the change that their files have as well
unverified  software of the catalog that loses its version first
today       the day on which it is wrong, for rules that only `paceline team validate` has
reported    the team in whose file it must be reported; that with the fault when not given
path        where there
message     a part of what must be said
cure        a part of the hint
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from pydantic import Field

from paceline.catalog.cluster_software import cluster_software
from paceline.spec.base import Record
from paceline.spec.documents import read
from paceline.spec.errors import ParameterError, Problem
from stacks.teams import PLATFORM, read_teams
from stacks.validators import eks
from stacks.validators import problems as words
from stacks.validators.capacity import untimely

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "stacks" / "parameters"
VALIDATORS = ROOT / "stacks" / "validators"
ROOMS = sorted((Path(__file__).parent / "faults").glob("*.yaml"))


class Fault(Record):
    rule: str
    team: str = "sandbox"
    change: dict[str, Any] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    neighbours: dict[str, Any] = Field(default_factory=dict)
    unverified: str | None = None
    today: date | None = None
    reported: str = ""
    path: str
    message: str = Field(min_length=1)
    cure: str = Field(min_length=1)


FAULTS = [
    pytest.param(Fault(**row), id=f"{room.stem}: {row['rule']}")
    for room in ROOMS
    for row in yaml.safe_load(room.read_text(encoding="utf-8"))
]


def put(data: Any, keys: list[str], value: Any) -> None:
    """Set the value at a path, making the mappings on the way."""
    for key in keys[:-1]:
        data = data[int(key)] if isinstance(data, list) else data.setdefault(key, {})
    if isinstance(data, list):
        data[int(keys[-1])] = value
    else:
        data[keys[-1]] = value


def drop(data: Any, keys: list[str]) -> None:
    for key in keys[:-1]:
        data = data[int(key)] if isinstance(data, list) else data[key]
    del data[int(keys[-1]) if isinstance(data, list) else keys[-1]]


def plant(fault: Fault, root: Path) -> Path:
    """The parameters of the team with the fault, below `root`; the team's file."""
    directory = root / "stacks" / "parameters"
    directory.mkdir(parents=True)
    shutil.copy(SHIPPED / f"{PLATFORM}.yaml", directory)
    for name in fault.beside:
        rewrite(name, directory, fault.neighbours)
    return rewrite(fault.team, directory, fault.change, fault.remove)


def rewrite(team: str, directory: Path, change: Mapping[str, Any], remove: Sequence[str] = ()) -> Path:
    """The file of a shipped team, changed, in `directory`."""
    data = yaml.safe_load((SHIPPED / f"{team}.yaml").read_text(encoding="utf-8"))
    for path, value in change.items():
        put(data, path.split("."), value)
    for path in remove:
        drop(data, path.split("."))
    file = directory / f"{team}.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False, width=1000), encoding="utf-8")
    return file


def refusals(fault: Fault, root: Path) -> list[Problem]:
    """What is said of the fault, planted below `root`, by those who read the files from there."""
    file, table = plant(fault, root), dict(cluster_software())
    if fault.unverified:
        row = table[fault.unverified]
        table[fault.unverified] = row.model_copy(update={"chart": row.chart.model_copy(update={"version": None})})
    with chdir(root), patch.object(eks, "cluster_software", return_value=table):
        if fault.today is None:
            with pytest.raises(ParameterError) as caught:
                read_teams(file.parent)
            return list(caught.value.problems)
        now = datetime.combine(fault.today, time(12), UTC)
        [team] = [team for team in read_teams(file.parent) if team.name == fault.team]
        return list(untimely(team, read(file, ParameterError, name=str(file.relative_to(root))), now))


def line_of(file: Path, path: str) -> int:
    """The line of the last key of `path` that the file has, as the YAML parser sees it."""
    node, line = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), 1
    parts = path.split(".")
    while parts:
        found = next(_children(node, parts), None)
        if found is None:
            break
        node, line, parts = found
    return line


def _children(node: yaml.Node, parts: list[str]) -> Iterator[tuple[yaml.Node, int, list[str]]]:
    """The child that the first parts name (a key may hold dots), its line, and the parts that are left."""
    for key, child in node.value if isinstance(node, yaml.MappingNode) else ():
        own = key.value.split(".")
        if own == parts[: len(own)]:
            yield child, key.start_mark.line + 1, parts[len(own) :]
    if isinstance(node, yaml.SequenceNode):
        child = node.value[int(parts[0])]
        yield child, child.start_mark.line + 1, parts[1:]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused(fault: Fault, tmp_path: Path) -> None:
    said = [(problem.message, problem.hint or "") for problem in refusals(fault, tmp_path)]
    file = Path("stacks") / "parameters" / f"{fault.reported or fault.team}.yaml"
    place = re.compile(rf"{file}:(?P<line>\d+): (?P<path>\S+): (?P<reason>.*)", re.DOTALL)
    found = [(match, hint) for message, hint in said if (match := place.match(message)) and match["path"] == fault.path]
    found = [(match, hint) for match, hint in found if fault.message in match["reason"]]
    assert len(found) == 1, said
    match, hint = found[0]
    assert fault.cure in hint
    assert int(match["line"]) == line_of(tmp_path / file, fault.path)


def test_every_rule_is_planted_once() -> None:
    faults = [fault.values[0] for fault in FAULTS]
    assert len({fault.rule for fault in faults}) == len(faults)
    assert len({(f.team, f.path, f.message) for f in faults}) == len(faults), "two rows for one rule"


def test_no_rule_of_the_validators_is_without_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule is a place in `stacks/validators` where a problem is made."""
    rules = {(file, lines) for file in VALIDATORS.glob("*.py") for lines in _rules(file)}
    made: set[tuple[Path, int]] = set()

    def recorded(**fields: Any) -> Problem:
        frame = sys._getframe(1)
        while frame.f_code.co_filename == words.__file__ and frame.f_back:
            frame = frame.f_back
        made.add((Path(frame.f_code.co_filename), frame.f_lineno))
        return Problem(**fields)

    monkeypatch.setattr(words, "Problem", recorded)
    for number, fault in enumerate(FAULTS):
        refusals(fault.values[0], tmp_path / str(number))
    never = [(file, lines) for file, lines in rules if not any((file, line) in made for line in lines)]
    assert not never, "\n".join(f"{file.relative_to(ROOT)}:{lines.start}" for file, lines in sorted(never, key=str))


def _rules(file: Path) -> Iterator[range]:
    """The lines of each call that makes a problem."""
    if str(file) == words.__file__:
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "problem":
            yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def test_the_teams_are_right_without_a_fault() -> None:
    assert read_teams(SHIPPED)
