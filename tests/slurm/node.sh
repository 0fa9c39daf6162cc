#!/bin/sh
# node.sh PLACE NAME NUMBER: a node, from power on to power off. It waits for its cable, then starts slurmd.
set -eu
place=$1 name=$2 number=$3
hostname "$name"
ip link set lo up
# what a node has for itself
mount -t tmpfs -o size=256m tmpfs /var/tmp
mkdir -p /var/tmp/spool /run/paceline
mount -t tmpfs -o size=64m tmpfs /run/paceline
touch "$place/pid/$name.machine"
while [ ! -e "$place/pid/$name.wired" ]; do sleep 0.05; done
ip addr add "10.77.0.$((10 + number))/24" dev eth0
ip link set eth0 up
# -b: it has booted now, not when the machine under all nodes did
exec slurmd -D -b -N "$name"
