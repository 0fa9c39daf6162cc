#!/usr/bin/env bash
# Install into the cluster what this folder describes; again and again with the same result.
#
# Needs aws, envsubst, helm, kubectl and sha256sum, and in the environment:
#   CLUSTER_NAME      name of the EKS cluster
#   REGISTRY          host of the registry that holds the charts and the images
#   CHARTS            where the charts lie there
#   MIRROR_PROJECT    name of the project that puts them there
#   METRICS_ENDPOINT  where metrics are written to; only if the Prometheus agent is installed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=common.sh
source ./common.sh
: "${CLUSTER_NAME:?}" "${REGISTRY:?}" "${CHARTS:?}" "${MIRROR_PROJECT:?}"
export METRICS_ENDPOINT="${METRICS_ENDPOINT:-}"
need aws envsubst helm kubectl sha256sum

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KUBECONFIG="$work/kubeconfig" HELM_REGISTRY_CONFIG="$work/registry.json"

# expand FILE: only these variables: other dollar signs are the chart's
expand() {
  # shellcheck disable=SC2016  # envsubst wants the names, not the values
  envsubst '$AWS_REGION $CLUSTER_NAME $METRICS_ENDPOINT $REGISTRY' <"$1"
}

# the cluster is not touched before everything that it will pull is there
missing=()
while IFS=$'\t' read -r -u 3 kind source version digest repository; do
  there=$(mirrored "$repository" "$version")
  case "$kind/$there" in
    */None) missing+=("$source $version") ;;
    archive/*) ;; # its bytes are compared below
    *) [ "$there" = "$digest" ] || missing+=("$source $version: the copy is $there, not the reviewed $digest") ;;
  esac
done 3<mirror.tsv
[ ${#missing[@]} -eq 0 ] || fail "the mirror is incomplete:$(printf '\n  %s' "${missing[@]}")" \
  "start the project $MIRROR_PROJECT, and then this one again"

aws eks update-kubeconfig --name "$CLUSTER_NAME" >&2
aws ecr get-login-password | helm registry login --username AWS --password-stdin "$REGISTRY"

mkdir "$work/manifests"
for manifest in manifests/*.yaml; do
  expand "$manifest" >"$work/$manifest"
done
kubectl apply --server-side --field-manager paceline --filename "$work/manifests" ||
  fail "the cluster refused the manifests" "its answer is above; nothing was installed after it" 3

# a descriptor of its own: helm must not read the list
while IFS=$'\t' read -r -u 3 name namespace chart version archived; do
  printf '\n%s %s\n' "$name" "$version"
  helm pull "oci://$CHARTS/$chart" --version "$version" --destination "$work"
  archive="$work/$chart-$version.tgz"
  [ "$archived" = - ] || echo "${archived#sha256:}  $archive" | sha256sum --check --quiet ||
    fail "the copy of $chart $version is not the reviewed one" "find out who pushed it, delete it, and mirror again"
  expand "values/$name.yaml" >"$work/$name.yaml"
  helm upgrade "$name" "$archive" --install --namespace "$namespace" --values "$work/$name.yaml" \
    --wait --timeout 10m ||
    fail "$name $version does not become ready" "kubectl --namespace $namespace get events says why" 3
done 3<releases.tsv

while read -r -u 3 workload; do
  kubectl rollout status --namespace paceline-system "$workload" --timeout 10m ||
    fail "$workload does not become ready" "kubectl --namespace paceline-system describe $workload says why" 3
done 3<rollouts.txt
