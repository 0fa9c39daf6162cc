# shellcheck shell=bash
# What the node is (node.env, written by cloud-init) and how it reads what the team's stacks have published.
# Sourced by the other scripts.
# shellcheck source=/dev/null
source /etc/paceline/node.env

# the binaries of the one Slurm that PCS has activated; exported, as Slurm starts programs without a PATH
for directory in /opt/aws/pcs/scheduler/slurm-*/bin; do
    PATH="$directory:$PATH"
done
export PATH

# AWS_REGION from the instance metadata, version 2
set_region() {
    local token
    token=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token) || return
    AWS_REGION=$(curl -sf -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/placement/region)
    export AWS_REGION
}

# parameter NAME: its value. Tries for two minutes: the network of a new node comes up late.
parameter() {
    local attempt
    for attempt in $(seq 12); do
        aws ssm get-parameter --name "$1" --query Parameter.Value --output text && return
        echo "paceline: $1 cannot be read, attempt $attempt of 12" >&2
        sleep 10
    done
    return 1
}
