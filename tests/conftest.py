"""Guards and fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

if (ROOT / "constructs" / "__init__.py").exists():  # must run before anything imports aws_cdk
    pytest.exit("constructs/__init__.py exists: it shadows the PyPI package `constructs`. Remove it.", returncode=4)
