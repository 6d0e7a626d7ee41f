"""Converts user errors to Failed states; if they were raised, Prefect would log tracebacks."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State
from prefect.states import Failed

from unveil.common.errors import UserError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def fail_on_user_error(
    work: Callable[Arguments, Result],
) -> Callable[Arguments, Result | State[Any]]:
    """Decorate a flow's or task's function to return a Failed state for a `UserError`."""

    @functools.wraps(work)
    def failing(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | State[Any]:
        try:
            return work(*args, **kwargs)
        except UserError as error:
            return Failed(message=str(error))

    return failing


def require_completed(state: State[Any]) -> None:
    """Raise `UserError` with the state's message unless the state is Completed."""
    if not state.is_completed():
        raise UserError(str(state.message))
