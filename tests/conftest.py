"""Guards and fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes is the machine's business, not the property's
settings.register_profile("paceline", deadline=None)
settings.load_profile("paceline")

ROOT = Path(__file__).parent.parent

if (ROOT / "constructs" / "__init__.py").exists():  # must run before anything imports aws_cdk
    pytest.exit("constructs/__init__.py exists: it shadows the PyPI package `constructs`. Remove it.", returncode=4)
