"""How long what the images stand on is still patched by its maker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from paceline.images.matrix import Matrix

# time enough to move to a newer one
NOTICE = timedelta(days=90)


def warnings(matrix: Matrix, today: date) -> list[str]:
    """A sentence for each base and part that is no longer patched, or soon will not be; the earliest end first."""
    near = sorted((ends, what) for what, ends in _ends(matrix) if ends - today <= NOTICE)
    return [
        f"{what}: not patched since {ends}" if ends < today else f"{what}: patched until {ends}" for ends, what in near
    ]


def _ends(matrix: Matrix) -> Iterator[tuple[str, date]]:
    for base in matrix.bases.values():
        if base.ends is not None:
            yield f"{base.name}:{base.tag}", base.ends
    for name, image in matrix.images.items():
        for key, part in {**image.contents, **image.host}.items():
            if part.ends is not None:
                yield f"{name}: {key} {part.version}", part.ends
