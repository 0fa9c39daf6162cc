"""DCGM's diagnostics of level 4: level 3, longer, with the memory test and the pulse test."""

from __future__ import annotations

from paceline.health.dcgm import Diagnostic


class DcgmDiagR4(Diagnostic):
    """Three quarters of an hour to more than two."""

    finds = "what DCGM's diagnostics of level 4 find"
    level = 4
    cost = 5400.0
    timeout = 10800.0
