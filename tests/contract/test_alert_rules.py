"""A rule on a metric that nobody exports never fires; one without a severity has no receiver."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest
import yaml

from paceline.spec.metrics import METRICS
from paceline_constructs.observability.prometheus import RULES, read_rules

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
RECORDED = {param.values[0]["record"] for param in NAMED if "record" in param.values[0]}


def names(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_:]*", bare)) - WORDS


def test_the_list_of_rules_is_the_folder() -> None:
    folder = files("paceline_constructs.observability").joinpath("rules")
    assert {file.name.removesuffix(".yaml") for file in folder.iterdir()} == set(RULES)


@pytest.mark.parametrize("rule", NAMED)
def test_a_rule_reads_metrics_that_somebody_exports(rule: dict[str, Any]) -> None:
    read = names(rule["expr"])
    assert read
    assert read <= set(METRICS) | RECORDED


@pytest.mark.parametrize("rule", [param for param in NAMED if "alert" in param.values[0]])
def test_an_alert_has_a_receiver_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_counters_are_read_as_counters() -> None:
    """A counter's value means nothing by itself."""
    counters = {name for name, metric in METRICS.items() if metric.kind == "counter"}
    for param in NAMED:
        expression = param.values[0]["expr"]
        for name in names(expression) & counters:
            assert re.search(rf"(increase|rate|changes)\({name}\b", expression), expression


def test_every_metric_says_where_its_name_was_read() -> None:
    assert all(metric.name == name and metric.exporter and metric.reference for name, metric in METRICS.items())
