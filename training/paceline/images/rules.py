"""What is wrong between the values of the matrix, and what its images need of the machine under them."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.images.matrix import Located, Matrix, Rule
from paceline.images.requirement import numbers
from paceline.spec.documents import nearest
from paceline.spec.errors import ImageError, Problem


def check(located: Located, *, pinned: bool = False) -> Matrix:
    """The matrix, or ImageError with all that is wrong; `pinned`: a base without a digest is wrong too."""
    problems = [*_references(located)]
    if not problems:  # rules can be asked only where every name leads somewhere
        problems += _broken_rules(located)
        problems += _unpinned(located) if pinned else ()
    if problems:
        raise ImageError.of(problems)
    return located.matrix


def driver_floor(matrix: Matrix, driver: str) -> str | None:
    """The oldest `driver` (e.g. `nvidia-driver`) under which every image that asks for it runs; None when no image
    asks, or nobody knows how old it may be."""
    parts = (image.host.get(driver) for image in matrix.images.values())
    return max((part.version for part in parts if part and part.version), key=numbers, default=None)


def _references(located: Located) -> Iterator[Problem]:
    """Names of bases and sources that lead nowhere."""
    matrix, document = located.matrix, located.document
    for name, image in matrix.images.items():
        if image.base not in matrix.bases:
            where = f"{document.origin(('images', name, 'base'))}: images.{name}.base"
            yield Problem(message=f"{where}: no base `{image.base}`", hint=nearest(image.base, list(matrix.bases)))
    for path, names in _sources(matrix):
        for source in names:
            if source not in matrix.sources:
                where = f"{document.origin(path)}: {'.'.join(map(str, path))}"
                yield Problem(message=f"{where}: no source `{source}`", hint=nearest(source, list(matrix.sources)))


def _sources(matrix: Matrix) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
    for name, base in matrix.bases.items():
        yield ("bases", name), base.sources
    for name, image in matrix.images.items():
        for table, parts in (("contents", image.contents), ("host", image.host)):
            for key, part in parts.items():
                yield ("images", name, table, key), part.sources
    for index, rule in enumerate(matrix.rules):
        yield ("rules", index), rule.sources
    for variable, row in matrix.obsolete.items():
        yield ("obsolete", variable), row.sources


def _broken_rules(located: Located) -> Iterator[Problem]:
    for name in located.matrix.images:
        for rule in located.matrix.rules:
            if problem := _broken(located, name, rule):
                yield problem


def _broken(located: Located, name: str, rule: Rule) -> Problem | None:
    """What is wrong if the rule applies to the image and does not hold; what nobody knows holds nothing."""
    image, document = located.matrix.images[name], located.document
    cause = image.contents.get(rule.when.name)
    if cause is None or cause.version is None or not rule.when.holds(cause.version):
        return None
    because = f"{rule.when.name} {cause.version} needs {rule.needs} ({located.matrix.sources[rule.sources[0]]})"
    part = image.part(rule.needs.name)
    if part is None:
        where = document.origin(("images", name, "contents", rule.when.name))
        return Problem(message=f"{where}: images.{name}: {because}", hint=f"add {rule.needs.name} to contents or host")
    table = "contents" if rule.needs.name in image.contents else "host"
    path = ("images", name, table, rule.needs.name)
    if part.version is not None and rule.needs.holds(part.version):
        return None
    found = part.version or f"unknown: {part.unknown}"
    message = f"{document.origin(path)}: {'.'.join(path)}: {found}, but {because}"
    return Problem(message=message, hint="change one of the two, or the rule with its source")


def _unpinned(located: Located) -> Iterator[Problem]:
    used = {image.base for image in located.matrix.images.values() if not image.preview}
    for name, base in located.matrix.bases.items():
        if name in used and not base.digest:
            where = f"{located.document.origin(('bases', name, 'digest'))}: bases.{name}.digest"
            message = f"{where}: empty; the tag {base.tag} can lead to another image tomorrow"
            yield Problem(message=message, hint="run `paceline images pin` where the registry can be reached")
