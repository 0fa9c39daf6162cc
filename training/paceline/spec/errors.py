"""The one exception tree for mistakes that a user can cure.

PacelineError
├── ParameterError    a team or platform file is wrong
├── StackError        a stack cannot be synthesized, or breaks a rule
├── RecipeError       a recipe or an override is wrong
├── DataError         a dataset is missing, short or altered
├── CheckpointError   a checkpoint does not exist or does not verify
├── GraphError        compiled graphs are missing, altered, or could not be made
├── StorageError      a place for files cannot be reached, or refuses
├── JournalError      a run's journal is missing, damaged or too new
├── DeployError       the cloud, or its emulation, refused
├── ImageError        the image matrix is wrong, or an image cannot be pinned or copied
├── LaunchError       a run could not be started or kept going
├── ReplayError       a step, computed again, gives other bits
├── TimeOutError      what was waited for did not come
└── ClusterError      the cluster says no

The command line prints `error: message`, an empty line and `hint: hint`, and exits with `exit_code`. No traceback is
shown without `--debug`. Mistakes of ours raise whatever they raise: they are bugs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_USAGE = 2
EXIT_CLUSTER = 3
EXIT_TIMEOUT = 4
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong. `message` says where, what and why (no full stop); `hint` says what to do; `missing`
    names the required key that is absent, if that is what is wrong."""

    message: str
    hint: str | None = None
    missing: str | None = None


class PacelineError(Exception):
    """A mistake or a condition that the user can cure; it can hold several problems found in one pass."""

    exit_code = EXIT_USER_ERROR

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.problems: tuple[Problem, ...] = (Problem(message=message, hint=hint),)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """One error for all `problems` (at least one)."""
        error = cls("\n".join(p.message for p in problems), problems[0].hint)
        error.problems = tuple(problems)
        return error

    def render(self) -> str:
        """The text for a person: each problem with its hint, an empty line between problems."""
        blocks = []
        for problem in self.problems:
            blocks.append(f"error: {problem.message}" + (f"\n\nhint: {problem.hint}" if problem.hint else ""))
        return "\n\n".join(blocks)


class ParameterError(PacelineError):
    """A team or platform parameter file is wrong."""


class StackError(PacelineError):
    """A stack cannot be synthesized, or breaks a rule."""


class RecipeError(PacelineError):
    """A recipe, or an override of one, is wrong."""


class DataError(PacelineError):
    """A dataset is missing, short or altered."""


class CheckpointError(PacelineError):
    """A checkpoint does not exist or does not verify."""


class GraphError(PacelineError):
    """Graphs that were compiled ahead are missing or altered, or could not be compiled."""


class StorageError(PacelineError):
    """A place for files cannot be reached, or refuses. Says nothing about what lies there."""


class JournalError(PacelineError):
    """A run's journal is missing, damaged, or written by a newer paceline."""


class DeployError(PacelineError):
    """The cloud, or its emulation, refused a deployment."""

    exit_code = EXIT_CLUSTER


class ImageError(PacelineError):
    """The matrix of images is wrong, or an image cannot be pinned or copied."""


class LaunchError(PacelineError):
    """A run could not be started or could not be kept going."""


class ReplayError(PacelineError):
    """A step that was computed again gives other bits."""

    exit_code = EXIT_CLUSTER


class TimeOutError(PacelineError):
    """What was waited for did not come in time."""

    exit_code = EXIT_TIMEOUT


class ClusterError(PacelineError):
    """The cluster says no."""

    exit_code = EXIT_CLUSTER
