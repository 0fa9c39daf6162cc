"""How long logs are kept, in the steps that CloudWatch knows and an auditor asks for."""

from __future__ import annotations

from typing import Literal

LogDays = Literal[30, 90, 365, 3653]
