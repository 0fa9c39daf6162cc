#!/bin/bash
# The node's own NVMe disks as one striped volume at /scratch: caches belong there, or they fill the root volume.
set -euo pipefail

# model "Amazon EC2 NVMe Instance Storage"; volumes of EBS have another one
mapfile -t disks < <(lsblk --noheadings --nodeps --output PATH,MODEL | awk '/Instance Storage/ {print $1}')
if [ ${#disks[@]} -eq 0 ]; then
    echo "paceline: no local disks"
    exit 0
fi

if ! vgs scratch >/dev/null 2>&1; then
    vgcreate scratch "${disks[@]}"
    lvcreate --name data --extents 100%FREE --stripes ${#disks[@]} scratch
    mkfs.xfs -q /dev/scratch/data
fi
mkdir -p /scratch
mountpoint -q /scratch || mount -o noatime,nodiratime /dev/scratch/data /scratch
chmod 1777 /scratch
