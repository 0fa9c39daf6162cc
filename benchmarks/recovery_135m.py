"""What a fault costs a model of 135 million parameters; everything else is as in benchmarks.recovery.

python -m benchmarks.recovery_135m [--repeat N] [--save]
"""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.common.command import command
from benchmarks.common.jobs import SMALL
from benchmarks.recovery import measure

if __name__ == "__main__":
    sys.exit(command("recovery_135m", __doc__, partial(measure, SMALL), repeat=1))
