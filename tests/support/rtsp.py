"""A minimal RTSP server (RFC 2326) for one client at a time: H.264 in RTP within the connection.

It sends the frames of `packets` in real packets of RFC 6184, at the pace of the reader, and ends as
it is told: with RTCP's BYE, by closing the connection, or by sending nothing more.
"""

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Literal

import av
import numpy as np

End = Literal["bye", "cut", "silence"]
RANGE = 60
"""Seconds that a video has that is cut, as the server states."""
CLOCK = 90_000
MTU = 1200
SOURCE = 0x1234


def packets(frames: list[np.ndarray], rate: int = 25) -> list[tuple[int, list[bytes]]]:
    """Encode RGB frames as H.264: for each its time in units of the clock, and its NAL units."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, rate)
    encoder.options = {"tune": "zerolatency", "crf": "10"}
    encoded = []
    for number, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(frame)
        picture.pts, picture.time_base = number, Fraction(1, rate)
        encoded += encoder.encode(picture)
    encoded += encoder.encode(None)
    return [(packet.pts * CLOCK // rate, _units(bytes(packet))) for packet in encoded]


def _units(stream: bytes) -> list[bytes]:
    return [one.rstrip(b"\0") for one in stream.split(b"\0\0\1") if one.strip(b"\0")]


def _rtp(units: list[bytes], when: int, number: int) -> Iterator[bytes]:
    """Yield the RTP packets of one frame; the last one has the marker."""
    parts = []
    for unit in units:
        if len(unit) <= MTU:
            parts.append(unit)
            continue
        pieces = [unit[at : at + MTU] for at in range(1, len(unit), MTU)]
        for place, piece in enumerate(pieces):
            flags = (place == 0) << 7 | (place == len(pieces) - 1) << 6
            parts.append(bytes([unit[0] & 0xE0 | 28, flags | unit[0] & 0x1F]) + piece)
    for place, part in enumerate(parts):
        marker = (place == len(parts) - 1) << 7
        yield struct.pack(">BBHII", 0x80, marker | 96, number + place & 0xFFFF, when, SOURCE) + part


def _interleaved(channel: int, packet: bytes) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


class Server:
    """Serves one video to each client; ``user`` is USER:PASSWORD if it asks for one."""

    def __init__(self, video: list[tuple[int, list[bytes]]], end: End, user: str) -> None:
        self._video, self._end, self._user = video, end, user
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        # A thread in accept() ends when the listener is shut down, not when it is closed.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                try:
                    self._converse(client, lines)
                except OSError:
                    continue

    def _converse(self, client: socket.socket, lines) -> None:
        while line := lines.readline().decode():
            verb = line.split()[0]
            headers = {}
            while line := lines.readline().decode().strip():
                key, _, value = line.partition(": ")
                headers[key] = value
            status, more, body = self._answer(verb, headers)
            more = {"CSeq": headers["CSeq"], "Session": "1", **more, "Content-Length": len(body)}
            fields = "".join(f"{key}: {value}\r\n" for key, value in more.items())
            client.sendall(f"RTSP/1.0 {status}\r\n{fields}\r\n{body}".encode())
            if verb == "PLAY" and status.startswith("200"):
                return self._play(client)

    def _answer(self, verb: str, headers: dict) -> tuple[str, dict, str]:
        known = "Basic " + base64.b64encode(self._user.encode()).decode()
        if self._user and verb != "OPTIONS" and headers.get("Authorization") != known:
            return "401 Unauthorized", {"WWW-Authenticate": 'Basic realm="camera"'}, ""
        if verb == "SETUP":
            return "200 OK", {"Transport": headers["Transport"]}, ""
        if verb != "DESCRIBE":
            return "200 OK", {}, ""
        first = [one for one in self._video[0][1] if one[0] & 0x1F in (7, 8)]
        sets = ",".join(base64.b64encode(one).decode() for one in first)
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=test", "c=IN IP4 0.0.0.0", "t=0 0"),
            *("m=video 0 RTP/AVP 96", f"a=rtpmap:96 H264/{CLOCK}", "a=control:video"),
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}",
            *([f"a=range:npt=0-{RANGE}"] if self._end == "cut" else []),
        ]
        return "200 OK", {"Content-Type": "application/sdp"}, "\r\n".join(lines) + "\r\n"

    def _play(self, client: socket.socket) -> None:
        number = 0
        for when, units in self._video:
            for packet in _rtp(units, when, number):
                client.sendall(_interleaved(0, packet))
                number += 1
        if self._end == "bye":
            client.sendall(_interleaved(1, struct.pack(">BBHI", 0x81, 203, 1, SOURCE)))
        if self._end == "cut":
            client.sendall(struct.pack(">cBH", b"$", 0, MTU))  # the start of another packet
        if self._end == "silence":
            self._stop.wait()


@contextmanager
def serving(frames: list[np.ndarray], end: End = "bye", user: str = "") -> Iterator[Server]:
    """Serve RGB frames over RTSP on a free port of 127.0.0.1."""
    server = Server(packets(frames), end, user)
    try:
        yield server
    finally:
        server.stop()
