#!/bin/bash
# HyperPod runs this as root on every new node, before the node joins the cluster. Log: the stream
# LifecycleConfig/<group>/<instance> of the log group /aws/sagemaker/Clusters/<name>/<id>.
# It downloads nothing: a node must come up when the rest of the world does not answer.
set -euo pipefail

log() {
    echo "paceline: $*"
}

# An upgrade in the background restarts slurmd, kubelet or the driver below a running job.
for unit in unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer dnf-automatic.timer; do
    if systemctl list-unit-files --quiet "$unit" >/dev/null 2>&1; then
        systemctl disable --now "$unit" || log "$unit could not be turned off"
    fi
done

# The root volume fills up with images and compiled kernels unless their caches are elsewhere.
cache=/opt/sagemaker
for directory in /opt/dlami/nvme /opt/sagemaker; do
    if mountpoint -q "$directory"; then
        cache=$directory
        break
    fi
done
mkdir -p "$cache/enroot" /etc/enroot/enroot.conf.d
chmod 1777 "$cache/enroot"
cat >/etc/enroot/enroot.conf.d/50-paceline.conf <<CONF
ENROOT_RUNTIME_PATH /run/enroot/user-\$(id -u)
ENROOT_CACHE_PATH $cache/enroot/cache-\$(id -u)
ENROOT_DATA_PATH $cache/enroot/data-\$(id -u)
ENROOT_TEMP_PATH $cache/enroot
CONF

log "done: caches in $cache"
