"""The processor cores that this process may use."""

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Quota and period of the container (cgroup v2); missing outside of containers."""


def cpu_limit(file: Path = CPU_MAX) -> int | None:
    """Return the container's limit in cores, rounded up; ``None`` if there is none.

    Docker's ``--cpus`` and the limits of Kubernetes hide no core from the process.
    """
    try:
        quota, period = file.read_text().split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return None


def available_cores(file: Path = CPU_MAX) -> int:
    """Return the number of cores in the affinity, or the limit if it is lower; at least 1."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, cpu_limit(file) or cores)
