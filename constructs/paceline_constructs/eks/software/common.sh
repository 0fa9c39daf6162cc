# shellcheck shell=bash
# What mirror.sh and apply.sh share. Sourced by them.

# fail WHAT HINT [STATUS]
fail() {
  printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2
  exit "${3:-1}"
}

# need TOOL...: all of them, or a message that names the missing ones
need() {
  local tool missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} -eq 0 ] ||
    fail "the image of this project lacks ${missing[*]}" "build it anew, and name its tag in eks.software.tools"
}

# mirrored REPOSITORY TAG: the digest of the copy, or `None`. Another answer of ECR than "not there" ends the script.
mirrored() {
  aws ecr batch-get-image --repository-name "$1" --image-ids "imageTag=$2" \
    --query 'images[0].imageId.imageDigest' --output text
}
