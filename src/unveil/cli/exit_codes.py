"""Exit codes and error lines of the commands.

2 for an error, 130 for Ctrl-C, 141 for a closed pipe (`unveil ... | head`). The traceback of an
unexpected error is written to a file; ``UNVEIL_DEBUG=1`` prints every traceback.
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

from typer import Abort, TyperException

from unveil.common import streams
from unveil.common.errors import UserError, mask_secrets, reason
from unveil.common.optional import missing_extra

DEBUG = "UNVEIL_DEBUG"
ERROR, INTERRUPTED, CLOSED = 2, 130, 141
"""Exit codes: the last two are what a shell makes of SIGINT and SIGPIPE."""


def run(verb: Callable[[], object]) -> NoReturn:
    """Run a command and exit the process with its exit code."""
    streams.open_closed()
    _mask_logs()
    threading.excepthook = _print_thread_error
    sys.exit(status(verb))


def status(verb: Callable[[], object]) -> int:
    """Run a command and return its exit code; an exception is printed as one line on stderr."""
    try:
        code = _exit_code(verb)
        # A closed pipe must raise here, where it is handled, not when Python exits.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return CLOSED
    except Exception as error:
        return _print_error(error)


def _exit_code(verb: Callable[[], object]) -> int:
    try:
        result = verb()
        return result if isinstance(result, int) else 0
    except TyperException as error:
        _print_usage_error(error)
        return error.exit_code
    except Abort as error:
        # Typer turns every EOFError into Abort, also that of a damaged file.
        raise error.__cause__ or error from None
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _print_usage_error(error: TyperException) -> None:
    # Typer's own errors have `show`, which adds the usage; the public class does not.
    if show := getattr(error, "show", None):
        show()
    else:
        print(f"Error: {error.format_message()}", file=sys.stderr)


def _print_error(error: BaseException) -> int:
    trace = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG):
        print(mask_secrets(trace), file=sys.stderr)
    print(f"unveil: {error_line(error, trace)}", file=sys.stderr)
    return ERROR


def error_line(error: BaseException, trace: str) -> str:
    """Describe an exception in one line; ``trace`` is saved to a file if it is unexpected."""
    if isinstance(error, ModuleNotFoundError):
        error = missing_extra(error) or error
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        name = f"{os.fsdecode(error.filename)}: " if _has_name(error) else ""
        return mask_secrets(f"{name}{reason(error).lower()}")
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or lower batch_size in params.yaml"
    return mask_secrets(
        f"unexpected {type(error).__name__}: {reason(error)}; {_save_traceback(trace)}"
    )


def _has_name(error: OSError) -> bool:
    return isinstance(error.filename, str | bytes)


def _save_traceback(trace: str) -> str:
    try:
        file, path = tempfile.mkstemp(prefix="unveil-traceback-", suffix=".txt")
        with os.fdopen(file, "w") as opened:
            opened.write(mask_secrets(trace))
    except OSError:
        return f"{DEBUG}=1 shows the traceback"
    return f"the traceback is in {path}"


def _discard_output() -> None:
    # Python flushes again at exit and would print an error about the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_thread_error(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        _print_error(ended.exc_value)


def _mask_logs() -> None:
    """Mask secrets in the log records of all libraries in this process."""
    create = logging.getLogRecordFactory()

    def mask(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = create(*args, **kwargs)
        try:
            record.msg, record.args = mask_secrets(record.getMessage()), ()
        except Exception:  # `logging` itself reports a wrong format string
            return record
        if record.exc_info and record.exc_info[1]:
            record.exc_text = mask_secrets("".join(traceback.format_exception(record.exc_info[1])))
        return record

    logging.setLogRecordFactory(mask)
