"""What a change of a field does to a deployed team. Every field of the parameters carries one of these.

live      applied while jobs run
drain     nodes or clients must be idle
replace   the resource is made anew, and what it holds is gone
never     refused for a team that holds data
"""

from __future__ import annotations

from pydantic.config import JsonDict

LIVE: JsonDict = {"update": "live"}
DRAIN: JsonDict = {"update": "drain"}
REPLACE: JsonDict = {"update": "replace"}
NEVER: JsonDict = {"update": "never"}

# may grow while jobs run, and can never shrink
GROW: JsonDict = {"update": "live", "shrink": "never"}
