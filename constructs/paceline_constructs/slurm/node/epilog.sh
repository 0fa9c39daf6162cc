#!/bin/bash
# After a job's last task on this node: what it left behind would take memory from the next one.
# Another exit status than 0 drains the node.
set -uo pipefail

# a user may have another job on the node: its files stay, and so they do when nobody can tell (1 is "none found")
if [ -n "${SLURM_JOB_UID:-}" ]; then
    others=0
    pgrep -u "$SLURM_JOB_UID" >/dev/null || others=$?
    if [ "$others" -eq 1 ]; then
        find /dev/shm -mindepth 1 -maxdepth 1 -user "$SLURM_JOB_UID" -exec rm -rf {} +
    fi
fi
exit 0
