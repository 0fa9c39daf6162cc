"""paceline: a HyperPod that you own. Everything that runs in a cluster or talks to one."""

__version__ = "0.1.0"
