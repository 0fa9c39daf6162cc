#!/bin/sh
# Find a Python that can run paceline and set this checkout up with it (tools/setup.py). PYTHON=... chooses one.
set -eu
cd "$(dirname "$0")/.."

# the environment's own first: a shell where another Python comes first does not rebuild it
candidates=${PYTHON:-.venv/bin/python python3 python3.13 python3.12 python3.11}
for python in $candidates; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" tools/setup.py
    fi
done

echo "error: no Python 3.11 or newer among: $candidates" >&2
echo >&2
echo "hint: install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make setup PYTHON=/path/to/python3" >&2
exit 1
