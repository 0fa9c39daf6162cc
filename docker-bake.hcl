# All images. In the root of the repository:
#
#     docker buildx bake --print        what would be built
#     docker buildx bake                what builds anywhere
#     TAGS="$(paceline images tags -o json)" REGISTRY=... docker buildx bake --push gpu

variable "REGISTRY" {
  default     = "paceline"
  description = "registry and prefix in front of an image's name"
}

variable "TAGS" {
  default     = "{}"
  description = "what `paceline images tags -o json` prints; an image that is not in it is tagged `dev`"
}

variable "REVISION" {
  default     = "unknown"
  description = "commit of the sources"
}

variable "MATRIX" {
  default     = "unknown"
  description = "SHA-256 of images/versions.toml"
}

# as in images/versions.toml
variable "VERSION" {
  default = "0.1.0"
}

function "tag" {
  params = [name]
  result = "${REGISTRY}/${name}:${try(jsondecode(TAGS)[name], "dev")}"
}

group "default" {
  targets = ["cpu", "node-agent", "controller", "cluster-tools"]
}

group "accelerators" {
  targets = ["gpu", "trainium"]
}

# its base is handed out in a closed beta
group "preview" {
  targets = ["trainium-native"]
}

target "image" {
  name       = name
  matrix     = { name = ["cpu", "gpu", "trainium", "trainium-native", "node-agent", "controller", "cluster-tools"] }
  context    = "."
  dockerfile = "images/${name}/Dockerfile"
  tags       = [tag(name)]
  platforms  = ["linux/amd64"]
  labels = {
    "org.opencontainers.image.title"    = "paceline-${name}"
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.revision" = REVISION
    "org.opencontainers.image.licenses" = "Apache-2.0"
    "paceline.matrix"                   = MATRIX
  }
}
