"""`python -m unveil.registry [PORT]` opens the local runs and models in MLflow's server.

It creates the database first: several processes of a server would create it at once.
"""

import os
import socket
import sys
from importlib.metadata import entry_points
from typing import NoReturn

from unveil.common.errors import UserError
from unveil.common.paths import TRACKING
from unveil.registry import database
from unveil.registry.connection import DATABASE
from unveil.registry.description import FRAGMENT, LOCAL_PORT, trainings_url

APP = "unveil"
"""The name of `start_page` among the apps of ``mlflow server``, an entry point of this package."""


def serve(port: str) -> NoReturn:
    """Replace this process by the server; ``UserError`` if the port cannot be used."""
    _require_free(port)
    # The server is for the local database, also where the runs of this shell go to another.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    url = trainings_url(f"http://127.0.0.1:{port}")
    print(f"trainings, best first: {url}", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port]
    command += ["--backend-store-uri", database.uri(TRACKING.absolute() / DATABASE)]
    # An environment of an older version does not have the entry point yet.
    if APP in entry_points(group="mlflow.app").names:
        command += ["--app-name", APP]
    page = url[url.index("#") :]
    os.execve(command[0], command, {**os.environ, FRAGMENT: page})


def _require_free(port: str) -> None:
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(f"PORT={port} is not a port; choose from 1 to 65535")
    with socket.socket() as probe:
        # Like a server: connections that another one has just closed do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used: {str(error.strerror).lower()}; "
                "`make ui PORT=5001` takes another"
            ) from None


if __name__ == "__main__":
    try:
        serve(*(sys.argv[1:] or [LOCAL_PORT]))
    except UserError as error:
        print(f"unveil: {error}", file=sys.stderr)
        sys.exit(2)
