#!/bin/sh
# ground.sh PLACE PACKAGES: what the cluster stands on, in namespaces of its own for mounts, network, host name and
# processes. It ends when nobody holds the other end of its input any more, and the kernel ends all that runs in it.
set -eu
place=$1 packages=$2
mount -t overlay overlay -o "lowerdir=$packages/usr:/usr" /usr
if [ -d "$packages/lib" ]; then
    mount -t overlay overlay -o "lowerdir=$packages/lib:/usr/lib" /usr/lib
fi
mount -t overlay overlay -o "lowerdir=$place/host/etc:/etc" /etc
mount -t overlay overlay -o "lowerdir=$place/host/opt:/opt" /opt
mount -t tmpfs tmpfs /run
mkdir -p /run/munge /run/mysqld
chmod 755 /run/munge
mount --bind "$place/etc/hosts" /etc/hosts
hostname ctl
ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
touch "$place/pid/ground"
# not exec: this process has to see the end of its input
read -r _ || true
