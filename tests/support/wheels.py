"""The wheel, built from the checkout and installed into an empty environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

OWN = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}


def uv() -> str:
    found = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    assert Path(found).exists(), "uv is missing; `make install` installs it"
    return found


def build(folder: Path) -> Path:
    """Build the wheel into a folder."""
    command = [uv(), "build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, extra: str = "") -> Path:
    """Install a wheel with the versions of uv.lock into a new environment; give its bin folder."""
    locked = folder.with_suffix(".txt")
    export = ["export", "--locked", "--quiet", "--no-dev", "--no-emit-project", "--no-hashes"]
    chosen = ["--extra", extra] if extra else []
    command = [uv(), *export, *chosen, "--project", str(ROOT), "--output-file", str(locked)]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    name = f"{wheel}[{extra}]" if extra else str(wheel)
    command = [uv(), "pip", "install", "--quiet", "--python", str(python), name]
    subprocess.run([*command, "--constraints", str(locked)], check=True, timeout=600)
    return folder / "bin"


def environment() -> dict[str, str]:
    """Give an environment in which the checkout's package cannot be found."""
    return {name: value for name, value in os.environ.items() if name not in OWN}
