"""One file per check; see registry.py."""
