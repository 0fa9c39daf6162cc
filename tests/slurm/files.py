"""The configuration of the test cluster: slurm.conf, slurmdbd.conf, cgroup.conf, hosts, a key for munge. What the
nodes of a real one get from us, they get too: see hooks.py."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from pathlib import Path

from paceline.launch.slurm.topology import rendered, tree
from tests.slurm.hooks import REBOOT, hook_settings, write_hooks

# of every second node, from the top down
SWITCHES = (("top", "left"), ("top", "right"))

_SLURM_CONF = """\
ClusterName=paceline
SlurmctldHost=ctl(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir=/var/tmp/spool
SlurmctldPidFile={place}/pid/slurmctld.pid
SlurmdPidFile=/var/tmp/slurmd.pid
SlurmctldLogFile={place}/log/slurmctld.out
SlurmdLogFile={place}/log/%n.out
# no cgroup to own, no systemd, no PMI library
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
TopologyPlugin=topology/tree
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SlurmctldTimeout=30
SlurmdTimeout=10
TCPTimeout=2
MessageTimeout=10
BatchStartTimeout=10
RebootProgram={reboot}
ResumeTimeout=120
KillWait=5
UnkillableStepTimeout=60
InactiveLimit=0
MinJobAge=300
# 0: a node that comes back stays down until somebody, here the healer, returns it
ReturnToService=0
JobRequeue=1
PreemptExemptTime=0
PriorityType=priority/multifactor
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=ctl
{hooks}
{nodes}
PartitionName=train Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""

_SLURMDBD_CONF = """\
AuthType=auth/munge
DbdHost=ctl
DbdAddr=10.77.0.1
SlurmUser=root
LogFile={place}/log/slurmdbd.out
PidFile={place}/pid/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""

_ACCOUNTING_SQL = """\
create database slurm_acct_db;
create user slurm@localhost identified by '{password}';
grant all on slurm_acct_db.* to slurm@localhost;
"""


def node_name(number: int) -> str:
    """The name of node `number`, counted from 1."""
    return f"node{number}"


def write_files(place: Path, nodes: Sequence[str], *, password: str) -> None:
    """Write all of it below `place`; `password` is the database's."""
    for folder in ("etc", "log", "pid", "state", "db", "munge"):
        (place / folder).mkdir()
    etc = place / "etc"
    numbered = list(enumerate(nodes, start=11))
    lines = "\n".join(f"NodeName={n} NodeAddr=10.77.0.{i} CPUs=2 RealMemory=2000 State=UNKNOWN" for i, n in numbered)
    hooks = "\n".join(f"{name}={value}" for name, value in hook_settings().items())
    (etc / "slurm.conf").write_text(_SLURM_CONF.format(place=place, nodes=lines, hooks=hooks, reboot=REBOOT))
    # each version of Slurm reads the one that it knows
    for version in ((24, 11), (25, 5)):
        name, text = rendered(tree(dict(zip(nodes, itertools.cycle(SWITCHES), strict=False))), version)
        (etc / name).write_text(text)
    write_hooks(place / "host", etc / "slurm.conf")
    (etc / "slurmdbd.conf").write_text(_SLURMDBD_CONF.format(place=place, password=password))
    (etc / "slurmdbd.conf").chmod(0o600)
    (etc / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    (etc / "accounting.sql").write_text(_ACCOUNTING_SQL.format(password=password))
    hosts = ["127.0.0.1 localhost", "10.77.0.1 ctl", *(f"10.77.0.{i} {n}" for i, n in numbered)]
    (etc / "hosts").write_text("\n".join(hosts) + "\n")
    key = place / "munge" / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
