"""How a verb ends: its exit code, and one line for whatever it raised.

2 for what went wrong, 130 for Ctrl-C, 141 where nobody reads on (`unveil ... | head`). The
traceback of what nobody foresaw goes into a file; ``UNVEIL_DEBUG=1`` shows every one.
"""

import errno
import logging
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from typer import Abort
from typer._click.exceptions import ClickException

from unveil.common.errors import UserError, masked, reason

DEBUG = "UNVEIL_DEBUG"
WRONG, INTERRUPTED, CLOSED = 2, 130, 141
"""Exit codes: the last two are what a shell makes of SIGINT and SIGPIPE."""


def run(verb: Callable[[], object]) -> NoReturn:
    """Run a verb to the end of this process."""
    _mask_logs()
    threading.excepthook = _thread_ended
    sys.exit(status(verb))


def status(verb: Callable[[], object]) -> int:
    """Run a verb and give its exit code; what it raised is said on stderr."""
    try:
        code = _called(verb)
        # What is still to be written would else be missed after the last line of ours.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return CLOSED
    except Exception as error:
        return _say(error)


def _called(verb: Callable[[], object]) -> int:
    try:
        given = verb()
        return given if isinstance(given, int) else 0
    except ClickException as error:
        error.show()
        return error.exit_code
    except Abort as error:
        # Typer takes the end of a damaged file for the end of the keyboard's input.
        raise error.__cause__ or error from None
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _say(error: BaseException) -> int:
    told = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG):
        print(masked(told), file=sys.stderr)
    print(f"unveil: {line(error, told)}", file=sys.stderr)
    return WRONG


def line(error: BaseException, told: str) -> str:
    """Say in one line what was raised; ``told``, its traceback, is kept where nobody foresaw it."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        named = f"{os.fsdecode(error.filename)}: " if _has_name(error) else ""
        return masked(f"{named}{reason(error).lower()}")
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or lower batch_size in params.yaml"
    return masked(f"unforeseen {type(error).__name__}: {reason(error)}; {_kept(told)}")


def _has_name(error: OSError) -> bool:
    return isinstance(error.filename, str | bytes)


def _kept(told: str) -> str:
    try:
        file, path = tempfile.mkstemp(prefix="unveil-traceback-", suffix=".txt")
        with os.fdopen(file, "w") as opened:
            opened.write(masked(told))
    except OSError:
        return f"{DEBUG}=1 shows the traceback"
    return f"the traceback is in {path}"


def _drop_output() -> None:
    # Python flushes once more at its end, and would tell of the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        _say(ended.exc_value)


def _mask_logs() -> None:
    """Take secrets out of what any library logs in this process."""
    made = logging.getLogRecordFactory()

    def mask(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        try:
            record.msg, record.args = masked(record.getMessage()), ()
        except Exception:  # of a line that is wrongly formatted `logging` itself complains
            return record
        if record.exc_info and record.exc_info[1]:
            record.exc_text = masked("".join(traceback.format_exception(record.exc_info[1])))
        return record

    logging.setLogRecordFactory(mask)
