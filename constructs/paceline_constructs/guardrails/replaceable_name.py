"""Names of resources that are sometimes replaced."""

from __future__ import annotations

import hashlib


def replaceable_name(base: str, *create_only: str) -> str:
    """`base` and four characters that change with `create_only`, the values that cannot change in place.

    CloudFormation makes the new resource before the old one goes, and two of one name cannot stand beside each other:
    the replacement of a resource whose name is written down fails. `base` gets longer by five characters.
    """
    return f"{base}-{hashlib.sha256(repr(create_only).encode()).hexdigest()[:4]}"
