"""Names of variables that NeuronX Distributed reads."""

HOST_WORLD_SIZE = "HOST_WORLD_SIZE"
PJRT_DEVICE = "PJRT_DEVICE"
