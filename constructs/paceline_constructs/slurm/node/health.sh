#!/bin/bash
# Slurm's HealthCheckProgram, on idle nodes. It drains its node, and takes back only what it or the prolog drained.
set -uo pipefail
# shellcheck source=checks.sh
source /opt/paceline/bin/checks

problems=$(check_node)
if [ -n "$problems" ]; then
    drain "$problems"
elif [[ "$(drain_reason)" == "$CHECKED"* ]]; then
    scontrol update "nodename=$(hostname -s)" state=resume
fi
exit 0
