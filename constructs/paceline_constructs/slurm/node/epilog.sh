#!/bin/bash
# After a job's last task on this node: what it left behind would take memory from the next one.
# Another exit status than 0 drains the node.
set -uo pipefail

# a user may have another job on the node: its files stay
if [ -n "${SLURM_JOB_UID:-}" ] && [ -z "$(pgrep -u "$SLURM_JOB_UID")" ]; then
    find /dev/shm -mindepth 1 -maxdepth 1 -user "$SLURM_JOB_UID" -exec rm -rf {} +
fi
exit 0
