"""Videos for tests, encoded by PyAV, and a web server that hands them out."""

import functools
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

KEY_EVERY = 25
"""Frames between two key frames."""


def h264(path: Path, frames: Iterable[np.ndarray], *, rate: int = 25, start: int = 0) -> Path:
    """Write frames, gray or RGB, as H.264; ``start`` is the number of the first one."""
    # An mp4 that can be read before it is whole.
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate, {"crf": "1", "g": str(KEY_EVERY)})
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames, start):
            if number == start:
                stream.height, stream.width = frame.shape[:2]
            pixels = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, 2)
            picture = av.VideoFrame.from_ndarray(pixels)
            picture.pts, picture.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def counted(count: int, side: int = 64) -> list[np.ndarray]:
    """Draw frames whose brightness is their number, up to 250."""
    return [np.full((side, side, 3), number, np.uint8) for number in range(count)]


def numbers(frames) -> list[int]:
    """Read the numbers of such frames, which compression may change by 1 or 2."""
    return [round(float(frame.pixels.mean())) for frame in frames]


class Files(SimpleHTTPRequestHandler):
    """The files of a folder; a name that begins with ``cut`` is sent by half."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def copyfile(self, source, outputfile) -> None:
        """Send a file, or its first half, and close the connection."""
        size = os.fstat(source.fileno()).st_size
        part = size // 2 if Path(self.path).name.startswith("cut") else size
        self.close_connection = True
        try:
            outputfile.write(source.read(part))
        except OSError:  # the reader had enough
            return


def web(folder: Path, certificate: Path | None = None) -> AbstractContextManager[str]:
    """Serve a folder as `answering` does."""
    return answering(functools.partial(Files, directory=folder), certificate)


@contextmanager
def answering(
    handler: Callable[..., BaseHTTPRequestHandler], certificate: Path | None = None
) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1, over TLS with a certificate; yields HOST:PORT."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def certificate(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 with its key, signed by itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = path.with_suffix(".key")
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path
