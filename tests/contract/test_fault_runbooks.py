"""Every class of faults and every alert has its page, and the listings are those of the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from paceline.catalog.faults import faults
from paceline.health.runbooks import FOLDER, MARK, render
from paceline.spec.health import FaultClass
from paceline_constructs.observability.prometheus import RULES, read_rules

ROOT = Path(__file__).parents[2]
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs/runbooks").rglob("*.md")}
ALERTS = [
    rule["alert"]
    for name in RULES
    for group in yaml.safe_load(read_rules(name))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


@pytest.mark.parametrize("fault_class", FaultClass)
def test_a_class_has_a_page_with_words_of_its_own_and_a_fresh_listing(fault_class: FaultClass) -> None:
    page = PAGES[ROOT / FOLDER / f"{fault_class}.md"]
    written = page.partition(MARK)[0]
    assert len(written.split()) > 50
    assert page == render(page, fault_class), "run `make schemas`"


def test_every_fault_is_listed_once() -> None:
    text = "\n".join(page.partition(MARK)[2] for page in PAGES.values())
    assert sorted(re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE)) == sorted(faults())


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_one_page(alert: str) -> None:
    assert sum(f"`{alert}`" in page.partition(MARK)[0] for page in PAGES.values()) == 1
