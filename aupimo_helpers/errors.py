"""The errors a user can cause.

Each carries one clear sentence: what was wrong, where, and what to do. The command line prints that sentence and
exits with 1. Each class is also the built-in error that fits, so that code which knows nothing of this package can
catch it.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class AupimoError(Exception):
    """Base of every error that a user can cause and mend."""


class InputError(AupimoError, ValueError):
    """A value, an array or a file's content is not what it must be."""


class MissingError(AupimoError, FileNotFoundError):
    """A file, a folder, a category or a data set is not there."""


class WriteError(AupimoError, OSError):
    """A file or a folder could not be written (read-only, full disk)."""


class DownloadError(AupimoError, ConnectionError):
    """A download failed: no network, a server's refusal, or other bytes than were promised."""


class AupimoWarning(UserWarning):
    """What is not wrong for sure, but worth a look; the command line prints it."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file or folder, and what to do; those with the same remedy are one kind."""

    file: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file} {self.what}. {self.remedy}."


class ProblemError(InputError):
    """What is wrong with files: one sentence for one problem, a list in groups for several."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(listed(problems))

    @classmethod
    def of(cls, file: Path, what: str, remedy: str) -> "ProblemError":
        """The error of one problem."""
        return cls([Problem(file, what, remedy)])


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add what an error says to a list that is reported when all has been looked at."""
    try:
        yield
    except ProblemError as error:
        problems += error.problems


@contextmanager
def noting() -> Iterator[list[str]]:
    """Collect what the package warns of, for a report; it is shown all the same."""
    notes: list[str] = []
    show = warnings.showwarning

    def note(message: Any, category: type[Warning], *where: Any) -> None:  # noqa: ANN401
        if category is AupimoWarning:
            notes.append(str(message))
        show(message, category, *where)

    with warnings.catch_warnings():
        warnings.showwarning = note  # type: ignore[assignment]
        yield notes


PRINTED = 20  # problems that are named, where there are more


def listed(problems: Sequence[Problem]) -> str:
    """Name the first problems, grouped by what to do, and count the others."""
    if len(problems) == 1:
        return str(problems[0])
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.remedy, []).append(problem)
    lines = [f"{len(problems)} problems"]
    left = PRINTED
    for remedy, group in groups.items():
        shown = group[: max(left, 1)]  # at least one of each kind
        lines.append(f"{remedy} ({len(group)}):")
        lines += [f"  {problem.file} {problem.what}" for problem in shown]
        if len(group) > len(shown):
            lines.append(f"  and {len(group) - len(shown)} more")
        left -= len(shown)
    return "\n".join(lines)


def brief(error: BaseException) -> str:
    """Give an error's first line, or its name where it says nothing."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 200 else f"{line[:196]} ..."


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The nearest of the known names as a question to put behind a message; nothing if none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]}?" if near else ""
