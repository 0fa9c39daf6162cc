#!/bin/bash
# Before a job's first task on this node. Another exit status than 0 drains the node and requeues the job.
set -uo pipefail
# shellcheck source=checks.sh
source /opt/paceline/bin/checks

problems=$(check_node)
if [ -n "$problems" ]; then
    echo "paceline: node refused: ${problems//$'\n'/; }" >&2
    exit 1
fi
exit 0
