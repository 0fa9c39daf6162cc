"""What a change of a field does to a deployed team. Every field of the parameters carries one of these.

live      applied while jobs run
drain     nodes or clients must be idle
replace   the resource is made anew, and what it holds is gone
never     refused: for a team that holds data, or (`fixed`) for every team

The classes are held against CloudFormation's own update behaviour by tests/integration/test_update_classes.py.
"""

from __future__ import annotations

from pydantic.config import JsonDict

LIVE: JsonDict = {"update": "live"}
DRAIN: JsonDict = {"update": "drain"}
REPLACE: JsonDict = {"update": "replace"}
NEVER: JsonDict = {"update": "never"}

# a list of resources: one more is live, and one that leaves the list goes with what it holds
PARTS: JsonDict = {"update": "live", "parts": True}

# names the place that the stacks are in: deployed with another value they are others, and the old ones stay
FIXED: JsonDict = {"update": "never", "fixed": True}

# sizes and versions that AWS lets grow only
GROW: JsonDict = {"update": "live", "grows": True}
GROW_DRAIN: JsonDict = {"update": "drain", "grows": True}

# a Kubernetes version: EKS User Guide, update-cluster.html: one minor version at a time, and not back
STEP: JsonDict = {"update": "drain", "grows": True, "step": 1}
