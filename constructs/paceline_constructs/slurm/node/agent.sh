#!/bin/bash
# paceline's node agent, from the team's registry, by digest: what was reviewed is what runs.
set -euo pipefail
source /opt/paceline/bin/common
[ -n "$PACELINE_AGENT_DIGEST" ] || exit 0
set_region

image="$(parameter "$PACELINE_REGISTRY_PARAMETER")/node-agent@$PACELINE_AGENT_DIGEST"
registry="${image%%/*}"
aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
docker pull --quiet "$image"
docker logout "$registry"

# privileged: it reads accelerators, EFA devices and the kernel's log
cat >/etc/systemd/system/paceline-agent.service <<UNIT
[Unit]
Description=paceline node agent
After=docker.service
Requires=docker.service

[Service]
ExecStartPre=-/usr/bin/docker rm --force paceline-agent
ExecStart=/usr/bin/docker run --rm --name paceline-agent --network host --pid host --privileged \\
    --env PACELINE_TEAM=$PACELINE_TEAM --env AWS_REGION=$AWS_REGION --volume /dev:/dev $image
ExecStop=/usr/bin/docker stop paceline-agent
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now paceline-agent.service
