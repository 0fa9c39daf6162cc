"""Explore one scene: how many worlds and moves it has, in what time and memory.

    python -m tests.membership NODES SIZES FAULTS          (SIZES as in a job: the largest first, with commas)

Exit code 1: from some world the newest generation never trains again; two that train end it with the way there.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from tests.membership.search import explore
from tests.membership.world import Scene


def main() -> int:
    nodes, sizes, faults = sys.argv[1:]
    explored = explore(Scene(nodes=int(nodes), sizes=tuple(map(int, sizes.split(","))), faults=int(faults)))
    found = {
        "worlds": explored.layers,
        "moves": explored.moves,
        "stuck": len(explored.stuck),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if explored.stuck else 0


if __name__ == "__main__":
    sys.exit(main())
