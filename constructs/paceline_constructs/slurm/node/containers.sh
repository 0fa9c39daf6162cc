#!/bin/bash
# Enroot's images on the fastest local storage. The image of the node holds Enroot and Pyxis.
set -euo pipefail
# shellcheck source=common.sh
source /opt/paceline/bin/common
[ "$PACELINE_CONTAINERS" = 1 ] || exit 0

if ! command -v enroot >/dev/null; then
    echo "paceline: the image of this node has no enroot: srun --container-image will not work" >&2
    exit 1
fi
base=/var/lib/enroot
if mountpoint -q /scratch; then
    base=/scratch/enroot
fi
mkdir -p "$base" /etc/enroot/enroot.conf.d
chmod 1777 "$base"
cat >/etc/enroot/enroot.conf.d/50-paceline.conf <<CONF
ENROOT_RUNTIME_PATH /run/enroot/user-\$(id -u)
ENROOT_CACHE_PATH $base/cache-\$(id -u)
ENROOT_DATA_PATH $base/data-\$(id -u)
ENROOT_TEMP_PATH $base
CONF
