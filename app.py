"""The CDK app: one stage per file in stacks/parameters. `cdk deploy 'sandbox/*'` deploys one team.

All files are read and held against each other at every synthesis. `--context teams=vision,speech` leaves out the
templates of the other teams, which saves their time and changes nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

if (ROOT / "constructs" / "__init__.py").exists():  # before anything imports aws_cdk
    sys.exit(
        "error: constructs/__init__.py exists: it shadows the PyPI package `constructs`, and aws_cdk cannot be imported"
        "\n\nhint: remove the file (docs/decisions/0001-constructs-is-not-a-package.md)"
    )


def main() -> None:
    from paceline.spec.errors import PacelineError
    from stacks.teams import read_teams, select

    try:
        teams = read_teams(ROOT / "stacks" / "parameters")

        from aws_cdk import App  # only now: loading it takes longer than finding a typing mistake

        from paceline_constructs.guardrails.compliance import enforce_compliance
        from paceline_constructs.guardrails.template_budget import enforce_template_budget
        from stacks.synthesis import APP_READS_REPORT, synthesize

        # the CLI passes the same flags; with them here, `python app.py` synthesizes the same templates
        flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
        app = App(context=flags | APP_READS_REPORT)
        enforce_compliance(app)
        enforce_template_budget(app)
        names = app.node.try_get_context("teams")
        synthesize(app, select(teams, names) if names else teams)
    except PacelineError as error:
        sys.exit(error.render())


if __name__ == "__main__":
    main()
