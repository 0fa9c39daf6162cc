"""An AWS account on this machine: ministack, and an overlay for what it lacks.

`server` starts and stops it; `main` is the process that it starts. State only: resources are remembered and answer the
calls that read them; no host, network, file system or cluster is simulated.
"""
