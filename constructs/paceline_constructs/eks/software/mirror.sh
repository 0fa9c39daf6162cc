#!/usr/bin/env bash
# Copy the charts and images of mirror.tsv into the team's registry, each by its digest. What is there stays as it is,
# so that a run that was cut off is simply started again.
#
# Needs aws, helm, sha256sum and skopeo, and in the environment:
#   REGISTRY  host of the team's registry
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=common.sh
source ./common.sh
: "${REGISTRY:?}"
need aws helm sha256sum skopeo

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export REGISTRY_AUTH_FILE="$work/skopeo.json" HELM_REGISTRY_CONFIG="$work/helm.json"
problems=()

# login HOST: only registries of ECR want one, with a token of their own region
login() {
  local region=${1#*.dkr.ecr.}
  [ "$region" != "$1" ] || return 0
  aws ecr get-login-password --region "${region%%.*}" | skopeo login --username AWS --password-stdin "$1"
}

# copy_manifest SOURCE DIGEST REPOSITORY VERSION: an image, or a chart in a registry, of all platforms
copy_manifest() {
  login "${1%%/*}"
  skopeo copy --all --preserve-digests --retry-times 3 "docker://$1@$2" "docker://$REGISTRY/$3:$4"
}

# copy_archive SOURCE DIGEST REPOSITORY VERSION: a chart of a web site, refused if it is not the reviewed one
copy_archive() {
  local archive="$work/${1##*/}-$4.tgz" found
  [ -e "$archive" ] || helm pull "${1##*/}" --repo "${1%/*}" --version "$4" --destination "$work"
  found="sha256:$(sha256sum "$archive" | cut -d ' ' -f 1)"
  if [ "$found" != "$2" ]; then
    problems+=("$1 $4 is $found, and the catalog says $2")
    return
  fi
  helm push "$archive" "oci://$REGISTRY/${3%/*}"
}

# offered KIND SOURCE VERSION: the digest of what upstream has under this version now
offered() {
  local bytes="$work/offered"
  if [ "$1" = archive ]; then
    helm pull "${2##*/}" --repo "${2%/*}" --version "$3" --destination "$work" >&2
    bytes="$work/${2##*/}-$3.tgz"
  else
    login "${2%%/*}" >&2
    skopeo inspect --raw "docker://$2:$3" >"$bytes"
  fi
  echo "sha256:$(sha256sum "$bytes" | cut -d ' ' -f 1)"
}

login "$REGISTRY"
aws ecr get-login-password | helm registry login --username AWS --password-stdin "$REGISTRY"

# a descriptor of its own: no program here may read the list
while IFS=$'\t' read -r -u 3 kind source version digest repository; do
  there=$(mirrored "$repository" "$version")
  if [ "$digest" = - ]; then
    digest=$(offered "$kind" "$source" "$version")
    problems+=("$source $version has no digest in the catalog; upstream offers $digest")
  elif [ "$there" = None ]; then
    printf '\ncopy   %s %s\n' "$source" "$version"
    case "$kind" in
      archive) copy_archive "$source" "$digest" "$repository" "$version" ;;
      *) copy_manifest "$source" "$digest" "$repository" "$version" ;;
    esac
  elif [ "$kind" != archive ] && [ "$there" != "$digest" ]; then
    problems+=("$REGISTRY/$repository:$version is $there, and the catalog says $digest")
  else
    printf 'there  %s %s\n' "$source" "$version"
  fi
done 3<mirror.tsv

[ ${#problems[@]} -eq 0 ] || fail "not everything could be copied:$(printf '\n  %s' "${problems[@]}")" \
  "review each, write its digest into cluster_software.yaml, deploy, and start this project again"
