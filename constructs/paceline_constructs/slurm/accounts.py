"""Who may use how much of a Slurm cluster: accounts, QOS and fair shares, as commands of sacctmgr(1).

Each account has a QOS of its own name for the nodes that are guaranteed to it, and all have the QOS `spare` for nodes
that are idle otherwise. Who asks for guaranteed nodes takes them from jobs in `spare`, which are requeued; who has used
less than its share goes first. Knows nothing of CDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from paceline.spec.names import SLURM_NOTICE_SECONDS

SPARE = "spare"
# names of accounts and QOS that are Slurm's own, and ours
TAKEN = frozenset(("root", "normal", SPARE))

# the QOS decides, and between jobs of one QOS the share
_WEIGHT_QOS, _WEIGHT_SHARE = 1_000_000, 100_000
_PRIORITY = 1000

_HEAD = """\
#!/bin/sh
# Accounts of {cluster}: run it as Slurm's administrator (root on a login node). Run again, it changes what differs:
# people who are not listed any more lose their account; an account that is not listed any more stays.
set -eu

have() { sacctmgr --noheader --parsable2 show "$@" | grep -q .; }
change() { sacctmgr --immediate --quiet "$@"; }
people() { sacctmgr --noheader --parsable2 show assoc account="$1" format=user | grep . || true; }

have qos spare || change add qos spare
change modify qos spare set priority=0 preemptmode=requeue gracetime={notice}
"""

_ACCOUNT = """\

# {account}
have account {account} || change add account {account}
change modify account {account} set fairshare={weight}
{qos}
for person in $(people {account}); do
    case " {people} " in *" $person "*) ;; *) change delete user "$person" account={account} ;; esac
done
for person in {people}; do
    have assoc user="$person" account={account} || change add user "$person" account={account}
    change modify user "$person" where account={account} set qos={offered} defaultqos={default}
done
"""

_QOS = """\
have qos {account} || change add qos {account}
change modify qos {account} set priority={priority} preempt=spare grptres=node={nodes}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A group of people: `nodes` are guaranteed to its jobs together, `weight` is its share of what is idle."""

    people: tuple[str, ...]
    nodes: int
    weight: int


def account_settings() -> dict[str, str]:
    """What slurm.conf says so that accounts have an effect. A job is warned as before its time limit: by the signal
    that it asked for, and so long before it is ended."""
    return {
        "AccountingStorageEnforce": "associations,limits,qos",
        "PreemptType": "preempt/qos",
        "PreemptMode": "REQUEUE",
        "PreemptParameters": "send_user_signal",
        "PriorityWeightQOS": str(_WEIGHT_QOS),
        "PriorityWeightFairshare": str(_WEIGHT_SHARE),
    }


def account_commands(cluster: str, accounts: Mapping[str, Account]) -> str:
    """A shell script that makes the accounting database say so."""
    head = _HEAD.replace("{cluster}", cluster).replace("{notice}", str(SLURM_NOTICE_SECONDS))
    return head + "".join(_commands(name, account) for name, account in accounts.items())


def _commands(name: str, account: Account) -> str:
    own = account.nodes > 0
    return _ACCOUNT.format(
        account=name,
        weight=account.weight,
        qos=_QOS.format(account=name, priority=_PRIORITY, nodes=account.nodes).rstrip() if own else "",
        people=" ".join(quote(person) for person in account.people),
        offered=f"{name},{SPARE}" if own else SPARE,
        default=name if own else SPARE,
    )
