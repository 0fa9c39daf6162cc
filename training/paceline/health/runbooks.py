"""The listing at the end of each runbook of docs/runbooks/faults: the faults of its class, out of the catalog.

python -m paceline.health.runbooks     (in the root of the repository; `make schemas`)
"""

from __future__ import annotations

from pathlib import Path

from paceline.catalog.faults import faults
from paceline.spec.health import Action, Fault, FaultClass

FOLDER = Path("docs/runbooks/faults")
MARK = "<!-- generated: make schemas -->\n"


def render(page: str, fault_class: FaultClass) -> str:
    """`page` with a fresh listing after the mark; what a person wrote before it stays."""
    written, mark, _ = page.partition(MARK)
    rows = [row for row in faults().values() if row.fault_class is fault_class]
    lines = ["| Fault | What it is | First | When it comes back |", "|---|---|---|---|"]
    lines += [f"| `{row.code}` | {_cell(row)} | {_word(row.action)} | {_word(row.escalation)} |" for row in rows]
    return f"{written}{mark}\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Write the listings anew."""
    for fault_class in FaultClass:
        path = FOLDER / f"{fault_class}.md"
        path.write_text(render(path.read_text(encoding="utf-8"), fault_class), encoding="utf-8")


def _cell(row: Fault) -> str:
    return row.description.replace("|", r"\|").replace("\n", " ")


def _word(action: Action | None) -> str:
    return action.name.lower().replace("_", " ") if action is not None else "counted"


if __name__ == "__main__":
    main()
