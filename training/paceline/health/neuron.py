"""Where the Neuron driver shows its devices."""

from __future__ import annotations

# aws-neuron-sdk, tools/neuron-sys-tools/neuron-sysfs-user-guide.rst
DEVICES = "/sys/devices/virtual/neuron_device"
