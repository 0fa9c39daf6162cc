#!/bin/bash
# Before a job's first task on this node. Another exit status than 0 requeues the job, and drains a node that is not
# drained: for a reason that says nothing.
set -uo pipefail
# shellcheck source=checks.sh
source /opt/paceline/bin/checks

problems=$(check_node)
if [ -n "$problems" ]; then
    echo "paceline: node refused: ${problems//$'\n'/; }" >&2
    drain "$problems"
    exit 1
fi
exit 0
