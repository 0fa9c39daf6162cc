#!/bin/bash
# paceline's node agent, from the team's registry, by digest: what was reviewed is what runs.
set -euo pipefail
# shellcheck source=common.sh
source /opt/paceline/bin/common
[ -n "$PACELINE_AGENT_DIGEST" ] || exit 0
set_region

image="$(parameter "$PACELINE_REGISTRY_PARAMETER")/node-agent@$PACELINE_AGENT_DIGEST"
registry="${image%%/*}"
aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
docker pull --quiet "$image"
docker logout "$registry"

gpus=()
if [ "$PACELINE_FAMILY" = nvidia ]; then
    gpus=(--gpus all)
fi
# privileged: it reads accelerators, EFA devices and the kernel's log beside the jobs that hold them. At /run/paceline the
# supervisors of the node's jobs listen for faults.
cat >/etc/systemd/system/paceline-agent.service <<UNIT
[Unit]
Description=paceline node agent
After=docker.service
Requires=docker.service

[Service]
# users' jobs put the sockets of their supervisors there
ExecStartPre=/usr/bin/install --directory --mode=1777 /run/paceline
ExecStartPre=-/usr/bin/docker rm --force paceline-agent
ExecStart=/usr/bin/docker run --rm --name paceline-agent --network host --pid host --privileged ${gpus[*]} \\
    --env PACELINE_TEAM=$PACELINE_TEAM --env PACELINE_NODE=%H --env AWS_REGION=$AWS_REGION \\
    --volume /dev:/dev --volume /run/paceline:/run/paceline --entrypoint paceline $image \\
    agent --supervisors /run/paceline --state /run/paceline/agent.json
ExecStop=/usr/bin/docker stop paceline-agent
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable paceline-agent.service
# not start: another image is to take over from the one that runs
systemctl restart paceline-agent.service
