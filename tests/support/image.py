"""The image of deploy/Dockerfile as a folder: for tests on machines without a container runtime."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import servers

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of the Dockerfile with their arguments, for each stage."""
    text = re.sub(r"\\\n\s*", "", (FOLDER / "Dockerfile").read_text())
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if name and not name.startswith("#"):
            found[-1].append((name, rest))
    return found


def last(name: str) -> str:
    """The arguments of the last instruction of that name."""
    return [rest for other, rest in stages()[-1] if other == name][-1]


class Image:
    """The root of the image is a folder, its port a free one on loopback.

    Its programs have no capabilities, no environment but that of the image, and may write to
    /state and /tmp alone. Not covered: the base image, its user, and the isolation of a container.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, "8000"
        for name in ("srv", "bundle", "state", "tmp", "run/secrets/unveil"):
            (folder / name).mkdir(parents=True)

    def build(self) -> None:
        """Run the build stage in /srv, with the uv and the Python of this machine."""
        environment = {**os.environ, "UV_PYTHON": sys.executable}
        environment.pop("VIRTUAL_ENV", None)
        for name, rest in stages()[0]:
            words = shlex.split(rest)
            if name == "COPY":
                for source in words[:-1]:
                    self._copy(source, self.folder / "srv" / words[-1])
            if name == "RUN" and words[0] == "uv":
                command = [_uv(), *words[1:]]
                where = self.folder / "srv"
                subprocess.run(command, cwd=where, env=environment, check=True)

    def here(self, text: str) -> str:
        """Map addresses and paths of the image to this machine."""
        text = text.replace("0.0.0.0", "127.0.0.1").replace("8000", self.port)
        return re.sub(r"(?<![\w./])/(srv|bundle|state|tmp|run)\b", rf"{self.folder}/\1", text)

    def run(self, command: list[str]) -> subprocess.CompletedProcess:
        """Run a command in the image."""
        where = self.here(last("WORKDIR"))
        return subprocess.run(self._inside(command), cwd=where, capture_output=True, text=True)

    def serve(self, arguments: list[str], log: Path):
        """Start the entry point with ``arguments``, on a new port; see `servers.serving`."""
        self.port = str(servers.free_port())
        url = f"http://127.0.0.1:{self.port}"
        return servers.serving(
            self._inside([*json.loads(last("ENTRYPOINT")), *arguments]),
            url,
            log,
            ready=lambda: servers.answers(f"{url}/readyz"),
            cwd=self.here(last("WORKDIR")),
        )

    def _inside(self, command: list[str]) -> list[str]:
        given = dict(pair.split("=", 1) for pair in shlex.split(last("ENV")))
        given["PATH"] = given["PATH"].replace("$PATH", "/usr/bin:/bin")
        given["TMPDIR"] = "/tmp"
        # As root, the capabilities would overrule the permissions of folders.
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        words = [f"{name}={self.here(value)}" for name, value in given.items()]
        return ["env", "-i", *words, *(bare if os.getuid() == 0 else []), *map(self.here, command)]

    def _copy(self, source: str, target: Path) -> None:
        allowed = (FOLDER / "Dockerfile.dockerignore").read_text().split()
        assert f"!{source.rstrip('/')}" in allowed, f"{source} is not in the build context"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)


def _uv() -> str:
    found = shutil.which("uv") or ROOT / ".tools/bin/uv"
    assert Path(found).exists(), "`make install` gets uv"
    return str(found)
