"""A server of unveil in this process, so that tests can replace its components."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from unveil.serving.app import build


@contextmanager
def listening(state) -> Iterator[str]:
    """Serve a state, without the middleware; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(build(state), log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
