"""The one exception for what a person can mend."""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake a person can mend: one line that names the value and the choices.

    The command line prints it without a traceback and exits with 2.
    """


def unknown(kind: str, value: object, choices: Iterable[str]) -> UserError:
    """Say that ``value`` is no known ``kind`` and what would be."""
    return UserError(f"unknown {kind} {str(value)!r}; choose from {', '.join(choices)}")
