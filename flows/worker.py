"""`python -m flows.worker`: a Prefect worker with one GPU, or with cores if there is no GPU.

Uses the first free GPU of the machine, or `--gpu`; without GPUs the first free `--cores`. Its runs
see no other devices. It runs one training at a time, and refuses a GPU that another worker uses.
"""

import os
import socket
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from flows.gpu_slots import SLOT, claim, gpus
from flows.server import connect, report_user_errors
from unveil.common.errors import UserError, unknown_choice

CONTROL = "control"
GPU = "gpu"


@report_user_errors
def main(
    pool: Annotated[
        str, typer.Option(help="The work pool: gpu for training runs, control for train-all.")
    ] = GPU,
    gpu: Annotated[
        str | None, typer.Option(help="The GPU, in the notation of CUDA_VISIBLE_DEVICES.")
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="The number of cores to use without a GPU.")
    ] = None,
) -> None:
    """Run a worker of a work pool until interrupted."""
    if pool not in (CONTROL, GPU):
        raise unknown_choice("work pool", pool, [CONTROL, GPU])
    if pool == CONTROL:
        connect()
        return _serve(pool, pool, {})
    names, count = _candidates(gpu, cores)
    connect()  # before a GPU is claimed
    units, held = _claim(names, count)
    for file in held:
        os.set_inheritable(file.fileno(), True)
    return _serve(pool, "+".join(units), _environment(units))


def _candidates(gpu: str | None, cores: int | None) -> tuple[list[str], int]:
    """Return the names of usable GPUs or cores, and how many of them to claim."""
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


def _claim(names: list[str], count: int) -> tuple[list[str], list[IO[bytes]]]:
    owned: dict[str, IO[bytes]] = {}
    for name in names:
        if len(owned) < count and (file := claim(name)):
            owned[name] = file
    if len(owned) < count:
        raise UserError(
            f"{count} of {', '.join(names)} requested, {len(owned)} free: "
            "other workers use the rest"
        )
    return list(owned), list(owned.values())


def _environment(units: list[str]) -> dict[str, str]:
    names = [unit.split("-", 1)[1] for unit in units]
    if units[0].startswith("gpu-"):
        # Number GPUs as nvidia-smi does; CUDA's default puts the fastest first.
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


def _serve(pool: str, units: str, environment: dict[str, str]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    command += ["--name", f"{socket.gethostname()} {units}"]
    command += ["--limit", "1"]
    # Replaces this process, so that the worker holds the locks and receives all signals.
    os.execve(sys.executable, command, {**os.environ, "PATH": path, **environment})


if __name__ == "__main__":
    typer.run(main)
