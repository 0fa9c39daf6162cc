#!/bin/bash
# First boot of a node: after it has registered with PCS, before slurmd starts. Log: /var/log/cloud-init-output.log
set -uo pipefail

# each step stands for itself: a node without its mounts is drained by health.sh, and its log says why
for step in scratch mounts containers agent; do
    /opt/paceline/bin/"$step" || echo "paceline: $step failed with $?" >&2
done
