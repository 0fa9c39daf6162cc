#!/bin/bash
# Shared file systems as systemd automounts: an /etc/fstab entry would hang the boot when a server does not answer.
set -euo pipefail
# shellcheck source=common.sh
source /opt/paceline/bin/common
set_region

# automount PATH SOURCE TYPE OPTIONS
automount() {
    local unit
    unit=$(systemd-escape --path "$1")
    cat >"/etc/systemd/system/$unit.mount" <<UNIT
[Unit]
Description=$1
After=network-online.target
Wants=network-online.target

[Mount]
What=$2
Where=$1
Type=$3
Options=$4
TimeoutSec=120
UNIT
    cat >"/etc/systemd/system/$unit.automount" <<UNIT
[Unit]
Description=$1

[Automount]
Where=$1

[Install]
WantedBy=multi-user.target
UNIT
    mkdir -p "$1"
    systemctl daemon-reload
    systemctl enable --now "$unit.automount"
    # the first access mounts; a job must not be the first
    timeout 150 stat "$1/." >/dev/null
}

# assigned first: a command that fails inside of arguments ends nothing
homes=$(parameter "$PACELINE_HOMES_PARAMETER")
lustre=$(parameter "$PACELINE_LUSTRE_PARAMETER")
automount /home "$homes" nfs nfsvers=4.1,nconnect=16,rsize=1048576,wsize=1048576,noatime
automount /fsx "$lustre" lustre noatime,flock
