"""A rule on a metric that nobody exports never fires; an alert that leads nowhere wakes a person for nothing."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from paceline.spec.metrics import METRICS
from paceline_constructs.observability.prometheus import RULES, read_rules
from tests.exported_metrics import exported

ROOT = Path(__file__).parents[2]
OBSERVABILITY = files("paceline_constructs.observability")

# words of PromQL that look like names
WORDS = {
    "and", "or", "unless", "by", "on", "time", "rate", "increase", "changes", "count", "sum", "max", "min",
    "max_over_time", "quantile_over_time",
}  # fmt: skip

NAMED = [
    pytest.param(rule, id=f"{name}: {rule.get('alert') or rule['record']}")
    for name in RULES
    for group in yaml.safe_load(read_rules(name))["groups"]
    for rule in group["rules"]
]
ALERTS = [param for param in NAMED if "alert" in param.values[0]]
RECORDED = {param.values[0]["record"] for param in NAMED if "record" in param.values[0]}
PANELS = [
    pytest.param(target["expr"], id=f"{file.name}: {panel['title']}: {target['refId']}")
    for file in OBSERVABILITY.joinpath("dashboards").iterdir()
    for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
    for target in panel["targets"]
]


def names(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_:]*", bare)) - WORDS


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_list_of_rules_is_the_folder() -> None:
    assert {file.name.removesuffix(".yaml") for file in OBSERVABILITY.joinpath("rules").iterdir()} == set(RULES)


def test_what_the_table_says_paceline_exports_its_programs_export() -> None:
    own = {name for name, metric in METRICS.items() if metric.exporter.startswith("paceline")}
    assert exported() == own


@pytest.mark.parametrize("expression", [*(pytest.param(p.values[0]["expr"], id=p.id) for p in NAMED), *PANELS])
def test_rules_and_panels_read_metrics_that_somebody_exports(expression: str) -> None:
    read = names(expression)
    assert read
    assert read <= set(METRICS) | RECORDED


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_has_a_receiver_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_leads_to_the_page_that_speaks_of_it(rule: dict[str, Any]) -> None:
    path, _, heading = rule["annotations"]["runbook_url"].partition("#")
    assert f"`{rule['alert']}`" in (ROOT / path).read_text(encoding="utf-8")
    assert not heading or heading in anchors(ROOT / path)


def test_where_the_repository_is_known_an_alert_has_a_link() -> None:
    [group] = yaml.safe_load(read_rules("collection", "example/platform"))["groups"]
    assert group["rules"][0]["annotations"]["runbook_url"] == (
        "https://github.com/example/platform/blob/HEAD/docs/runbooks/faults/host.md"
    )


def test_counters_are_read_as_counters() -> None:
    """A counter's value means nothing by itself."""
    counters = {name for name, metric in METRICS.items() if metric.kind == "counter"}
    for param in NAMED:
        expression = param.values[0]["expr"]
        for name in names(expression) & counters:
            assert re.search(rf"(increase|rate|changes)\({name}\b", expression), expression


def test_every_metric_says_where_its_name_was_read() -> None:
    assert all(metric.name == name and metric.exporter and metric.reference for name, metric in METRICS.items())
