"""`python -m flows.worker`: a Prefect worker that owns one GPU, or cores where there is none.

Takes the first free GPU of the machine, or `--gpu`; without any GPU the first free `--cores`. What
it runs sees no other. One training at a time; a GPU that another worker owns is refused.
"""

import os
import socket
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from flows.gpu_slots import SLOT, claim, gpus
from flows.server import reachable, saying
from unveil.common.errors import UserError, unknown

CONTROL = "control"
GPU = "gpu"


@saying
def main(
    pool: Annotated[str, typer.Option(help="gpu trains; control runs train-all.")] = GPU,
    gpu: Annotated[
        str | None, typer.Option(help="A GPU, as CUDA_VISIBLE_DEVICES names it.")
    ] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Without a GPU: how many cores.")] = None,
) -> None:
    """Serve a work pool until interrupted."""
    if pool not in (CONTROL, GPU):
        raise unknown("work pool", pool, [CONTROL, GPU])
    if pool == CONTROL:
        reachable()
        return _serve(pool, pool, {})
    names, wanted = _wanted(gpu, cores)
    reachable()  # before a GPU is claimed
    units, held = _take(names, wanted)
    for file in held:
        os.set_inheritable(file.fileno(), True)
    return _serve(pool, "+".join(units), _seen(units))


def _wanted(gpu: str | None, cores: int | None) -> tuple[list[str], int]:
    """Name what may be owned, and how much of it is wanted."""
    known = gpus()
    if gpu is not None and gpu not in known:
        raise UserError(f"no GPU {gpu!r} here; there are: {', '.join(known) or 'none'}")
    if known and cores is not None:
        raise UserError(
            f"cores are for a machine without GPUs, here are: {', '.join(known)}; "
            "CUDA_VISIBLE_DEVICES= hides them"
        )
    if known:
        return [f"gpu-{name}" for name in ([gpu] if gpu else known)], 1
    names = [f"core-{core}" for core in sorted(os.sched_getaffinity(0))]
    return names, cores or len(names)


def _take(names: list[str], wanted: int) -> tuple[list[str], list[IO[bytes]]]:
    owned: dict[str, IO[bytes]] = {}
    for name in names:
        if len(owned) < wanted and (file := claim(name)):
            owned[name] = file
    if len(owned) < wanted:
        raise UserError(
            f"{wanted} of {', '.join(names)} wanted, {len(owned)} free: "
            "another worker owns the others"
        )
    return list(owned), list(owned.values())


def _seen(units: list[str]) -> dict[str, str]:
    names = [unit.split("-", 1)[1] for unit in units]
    if units[0].startswith("gpu-"):
        # The order in which nvidia-smi counts; CUDA's own puts the fastest first.
        return {
            SLOT: " ".join(units),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": ",".join(names),
        }
    os.sched_setaffinity(0, {int(name) for name in names})
    threads = dict.fromkeys(
        ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), str(len(names))
    )
    return {SLOT: " ".join(units), "CUDA_VISIBLE_DEVICES": "", **threads}


def _serve(pool: str, owned: str, seen: dict[str, str]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    command += ["--name", f"{socket.gethostname()} {owned}"]
    command += ["--limit", "1"]
    # In our place, so that the locks, and every signal, are the worker's.
    os.execve(sys.executable, command, {**os.environ, "PATH": path, **seen})


if __name__ == "__main__":
    typer.run(main)
