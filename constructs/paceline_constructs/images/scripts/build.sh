#!/bin/bash
# Builds one image out of the sources beside this script and pushes it, with a list of its contents (SPDX, by syft, which
# is what BuildKit scans with) and its provenance. The build's last step is the image's own test; the registry signs and
# scans what is pushed. Leaves the list in $IMAGE.spdx.json.
set -euo pipefail
: "${IMAGE:?}" "${REGISTRY:?}" "${PREFIX:?}"

python3 -m venv /tmp/tools
/tmp/tools/bin/pip install --quiet --no-deps --require-hashes --requirement images/controller/requirements.txt \
    --requirement images/common/build.txt
/tmp/tools/bin/pip install --quiet --no-deps --no-build-isolation ./training
/tmp/tools/bin/paceline images matrix --pinned >/dev/null
TAGS="$(/tmp/tools/bin/paceline images tags -o json)"
export TAGS
tag="$(jq -r --arg image "$IMAGE" '.[$image]' <<<"$TAGS")"
image=(--repository-name "$PREFIX/$IMAGE" --image-ids "imageTag=$tag")
if digest="$(aws ecr describe-images "${image[@]}" --query 'imageDetails[0].imageDigest' --output text 2>/dev/null)"; then
    echo "$IMAGE: $tag is there already: its inputs did not change: $digest"
    exit 0
fi

aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"
# the builder inside the engine makes no attestations
docker buildx create --use --name paceline
REGISTRY="$REGISTRY/$PREFIX" MATRIX="$(sha256sum images/versions.toml | cut -d' ' -f1)" \
    docker buildx bake --push --metadata-file /tmp/built.json \
    --set '*.attest=type=sbom' --set '*.attest=type=provenance,mode=max' "$IMAGE"
digest="$(jq -r --arg image "$IMAGE" '.[$image]["containerimage.digest"]' /tmp/built.json)"

docker buildx imagetools inspect "$REGISTRY/$PREFIX/$IMAGE@$digest" --format '{{ json .SBOM.SPDX }}' >"$IMAGE.spdx.json"
if ! jq --exit-status '.packages | length > 0' "$IMAGE.spdx.json" >/dev/null; then
    echo "error: $IMAGE: $tag was pushed without a list of its contents: do not deploy it" >&2
    echo "hint: the builder must reach docker/buildkit-syft-scanner, which makes the list" >&2
    exit 1
fi

# what is pushed is an index: the image, and what was attested of it; only the image can be scanned
inside="$(docker buildx imagetools inspect --raw "$REGISTRY/$PREFIX/$IMAGE@$digest" |
    jq -r '.manifests[] | select(.platform.os != "unknown") | .digest')"
scan=(--repository-name "$PREFIX/$IMAGE" --image-id "imageDigest=$inside")
aws ecr wait image-scan-complete "${scan[@]}"
# shellcheck disable=SC2016  # JMESPath writes numbers in backquotes
critical="$(aws ecr describe-image-scan-findings "${scan[@]}" \
    --query 'imageScanFindings.findingSeverityCounts.CRITICAL || `0`' --output text)"
if [ "$critical" != 0 ]; then
    echo "error: $IMAGE: $tag has $critical critical findings: do not deploy it" >&2
    echo "hint: take a newer base (docs/guides/bump-a-version.md)" >&2
    exit 1
fi
echo "$IMAGE: $tag is pushed: $digest"
