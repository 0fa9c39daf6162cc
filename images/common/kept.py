"""A build's first and last step: the Python packages of the base are exactly what they were.

python kept.py record FILE     before anything is installed
python kept.py verify FILE     after everything is installed

A base was tested as a whole by its maker. A package that pip resolves anew (PyTorch above all) replaces one that was
built for this CUDA or this Neuron SDK by one that was not, and nothing fails until a step is wrong or slow. What pip
leaves behind does not tell from which index a package came, so the rule is stricter than that: packages of the base
may not change, and no package with a name of Neuron's may be added. On PyPI those names are placeholders.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

NEURON = re.compile(r"^(aws-)?(neuron|nki$|libneuron|(torch|jax|tensorflow)-neuron)")


def installed() -> dict[str, str]:
    """Canonical name to version and digest of the list of files, for every package that Python finds."""
    found = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        # the same version from another index has other files
        files = distribution.read_text("RECORD") or ""
        found.setdefault(name, f"{distribution.version} {hashlib.sha256(files.encode()).hexdigest()[:12]}")
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A message for each package of the base that changed, and for each of Neuron's that was added."""
    messages = []
    for name, was in sorted(before.items()):
        now = after.get(name)
        if now is None:
            messages.append(f"{name}: the base has {was}, and it was removed")
        elif now != was:
            messages.append(f"{name}: the base has {was}, and {now} was installed over it")
    for name in sorted(after.keys() - before.keys()):
        if NEURON.match(name):
            messages.append(
                f"{name}: {after[name]} was added; Neuron's packages come with the base, PyPI has placeholders"
            )
    return messages


def main(verb: str, file: Path) -> int:
    if verb == "record":
        file.write_text(json.dumps(installed(), indent=1, sort_keys=True), encoding="utf-8")
        return 0
    messages = differences(json.loads(file.read_text(encoding="utf-8")), installed())
    for message in messages:
        sys.stderr.write(f"error: {message}\n")
    if messages:
        sys.stderr.write(
            "\nhint: requirements.txt lists only what the base lacks; take out or change what is named above\n"
        )
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
