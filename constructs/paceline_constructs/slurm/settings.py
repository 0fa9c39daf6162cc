"""What paceline itself writes into slurm.conf. Knows nothing of CDK, so that parameters are checked without it."""

from __future__ import annotations

from collections.abc import Mapping

from paceline.catalog.slurm import Ports
from paceline_constructs.slurm.accounts import account_settings
from paceline_constructs.slurm.user_data import EPILOG, HEALTH, PROLOG

# a check takes about a second; an idle node that breaks is drained within this time
_HEALTH_CHECK_SECONDS = 300

_SCHEDULER = "SchedulerParameters"
# without it the job that a prolog refused a node stays held until a person releases it (slurm.conf(5))
_NO_HOLD = "nohold_on_prolog_fail"


def own_settings(ports: Ports, *, with_accounts: bool) -> dict[str, str]:
    """Names and values; a team cannot set these. `with_accounts`: it has described accounts."""
    first, last = ports.srun
    return {
        "Prolog": PROLOG,
        "Epilog": EPILOG,
        "PrologFlags": "Alloc,Contain",  # the prolog runs on all nodes of a job before any of its tasks
        "HealthCheckProgram": HEALTH,
        "HealthCheckInterval": str(_HEALTH_CHECK_SECONDS),
        "HealthCheckNodeState": "IDLE",  # never beside a job that is being measured
        "SrunPortRange": f"{first}-{last}",
        **(account_settings() if with_accounts else {}),
    }


def all_settings(team: Mapping[str, str], ports: Ports, *, with_accounts: bool) -> dict[str, str]:
    """Those of the team and of paceline together. SchedulerParameters is a list: ours is one more entry of it."""
    entries = [*team.get(_SCHEDULER, "").split(","), _NO_HOLD]
    scheduler = {_SCHEDULER: ",".join(entry for entry in dict.fromkeys(entries) if entry)}
    return {**team, **scheduler, **own_settings(ports, with_accounts=with_accounts)}
