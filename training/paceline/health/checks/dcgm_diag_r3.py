"""DCGM's diagnostics of level 3: memory, compute, PCIe and NVLink under load."""

from __future__ import annotations

from paceline.health.dcgm import Diagnostic


class DcgmDiagR3(Diagnostic):
    """About a quarter of an hour."""

    finds = "what DCGM's diagnostics of level 3 find"
    level = 3
    cost = 900.0
    timeout = 2700.0
