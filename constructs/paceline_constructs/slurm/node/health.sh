#!/bin/bash
# Slurm's HealthCheckProgram, on idle nodes. It drains its node, and takes back only what it drained itself.
set -uo pipefail
# shellcheck source=checks.sh
source /opt/paceline/bin/checks

node=$(hostname -s)
problems=$(check_node)
reason=$(scontrol show node "$node" | sed -n 's/^ *Reason=\(.*\) \[.*/\1/p')
if [ -n "$problems" ]; then
    # a reason that someone else gave stays
    [ -n "$reason" ] || scontrol update "nodename=$node" state=drain "reason=paceline: ${problems//$'\n'/; }"
elif [[ "$reason" == paceline:* ]]; then
    scontrol update "nodename=$node" state=resume
fi
exit 0
