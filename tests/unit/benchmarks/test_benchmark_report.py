"""Tables and figures of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks.common.machine import machine, processor
from benchmarks.common.report import Report, Table, spread


def test_spread_is_median_smallest_and_largest() -> None:
    assert spread([3.0, 1.0, 2.25], digits=1) == ("2.2", "1.0", "3.0")
    assert spread([1.0, 2.0]) == ("1.50", "1.00", "2.00")
    assert spread([]) == ("-", "-", "-")


def test_a_table_is_markdown_with_figures_to_the_right() -> None:
    table = Table(columns=("system", "s"), rows=(("a", "10.00"), ("longer name", "1.00")))
    assert table.markdown().splitlines() == [
        "| system      |     s |",
        "| ----------- | ----: |",
        "| a           | 10.00 |",
        "| longer name |  1.00 |",
    ]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Table(columns=("system", "s"), rows=(("a",),)).markdown()


def test_a_report_names_the_machine_before_the_figures() -> None:
    report = Report(title="Title", table=Table(columns=("a",), rows=()), notes=("first", "second"))
    assert report.markdown({"cores": "2"}) == "# Title\n\n* cores: 2\n\n| a |\n| - |\n\n* first\n* second\n"


def test_the_processor_is_what_the_kernel_calls_it() -> None:
    assert processor("processor\t: 0\nmodel name\t: Example 9000 @ 2 GHz\n") == "Example 9000 @ 2 GHz"
    assert processor("processor\t: 0\nFeatures\t: fp\n")


def test_the_facts_of_the_machine_say_when_where_and_with_what() -> None:
    facts = machine()
    assert all(facts.values())
    assert "UTC" in facts["date"] and "cores" in facts["processor"] and "paceline" in facts["versions"]
