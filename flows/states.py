"""How mistakes become states: raised, Prefect would log a traceback for each."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State
from prefect.states import Failed

from unveil.common.errors import UserError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def plainly(work: Callable[Arguments, Result]) -> Callable[Arguments, Result | State[Any]]:
    """Make a `UserError` of a flow's or task's function the message of a Failed state."""

    @functools.wraps(work)
    def careful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | State[Any]:
        try:
            return work(*args, **kwargs)
        except UserError as error:
            return Failed(message=str(error))

    return careful


def must(state: State[Any]) -> None:
    """End the flow, with the state's message, unless the work is done."""
    if not state.is_completed():
        raise UserError(str(state.message))
