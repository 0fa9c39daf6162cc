#!/usr/bin/env bash
# Install into the cluster what this folder describes; again and again with the same result.
#
# Needs aws, envsubst, helm and kubectl, and in the environment:
#   CLUSTER_NAME      name of the EKS cluster
#   REGISTRY          host of the registry that holds the charts and the images
#   CHARTS            where the charts lie there
#   METRICS_ENDPOINT  where metrics are written to; only if the Prometheus agent is installed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${CLUSTER_NAME:?}" "${REGISTRY:?}" "${CHARTS:?}"
export METRICS_ENDPOINT="${METRICS_ENDPOINT:-}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KUBECONFIG="$work/kubeconfig" HELM_REGISTRY_CONFIG="$work/registry.json"

aws eks update-kubeconfig --name "$CLUSTER_NAME" >&2
aws ecr get-login-password | helm registry login --username AWS --password-stdin "$REGISTRY"

kubectl apply --server-side --field-manager paceline -f manifests

# a descriptor of its own: helm must not read the list
while IFS=$'\t' read -r -u 3 name namespace chart version; do
  printf '\n%s %s\n' "$name" "$version"
  # only these variables: other dollar signs are the chart's
  envsubst '$AWS_REGION $CLUSTER_NAME $METRICS_ENDPOINT $REGISTRY' <"values/$name.yaml" >"$work/$name.yaml"
  helm upgrade "$name" "oci://$CHARTS/$chart" --install --version "$version" \
    --namespace "$namespace" --values "$work/$name.yaml" --wait --timeout 10m
done 3<releases.tsv
