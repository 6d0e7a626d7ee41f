#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg) over HTTP: seek() on a web server that does not answer range requests reports success and goes elsewhere.
#
# Expected: the frames from second 12, as from a file, or an error from seek().
# Seen, with films of 20 s (H.264, a key frame each second) on Python's http.server, which has no ranges, after seek(12 s): from AVI the
#   frames from second 2, from Matroska those from second 14, both without an error; from MP4 an error, but of decoding, as for a
#   damaged file; MPEG-TS, which FFmpeg searches from the start, is right. From files all four are right.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 2> /dev/null
cd "$room"
cat > try.py <<'P'
import functools
import http.server
import threading

import av
import numpy as np

RATE, SECONDS, ASKED = 25, 20, 12


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def make(name):
    noise = np.random.default_rng(0).integers(0, 40, (240, 320, 3))
    with av.open(name, "w") as film:
        stream = film.add_stream("libx264", RATE, {"g": str(RATE), "bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(RATE * SECONDS):
            picture = np.roll(noise + number // RATE * 10 + 20, number * 7, 1).astype(np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        film.mux(stream.encode())


def second(source):
    """Return the second that the first frame after the seek shows, by its brightness."""
    with av.open(source) as film:
        film.seek(ASKED * av.time_base)
        try:
            frame = next(film.decode(video=0))
        except av.FFmpegError as error:
            return type(error).__name__
    return round((frame.to_ndarray(format="rgb24").mean() - 39.5) / 10)


server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 0), functools.partial(Silent, directory=".")
)
threading.Thread(target=server.serve_forever, daemon=True).start()
seen = {}
for kind in ("mp4", "mkv", "avi", "ts"):
    make(f"film.{kind}")
    web = f"http://127.0.0.1:{server.server_port}/film.{kind}"
    seen[kind] = second(f"film.{kind}"), second(web)
    print(f"{kind}: asked for second {ASKED}, file {seen[kind][0]}, http {seen[kind][1]}")
assert all(own == ASKED for own, _ in seen.values())
assert seen["mp4"][1] == "InvalidDataError" and seen["ts"][1] == ASKED
assert seen["mkv"][1] not in (ASKED, "InvalidDataError") and seen["avi"][1] not in (ASKED, "InvalidDataError")
P
venv/bin/python try.py 2> log || { tail -3 log; exit 1; }
