"""The cores that a process may use, in a container and outside."""

import os

import pytest
from tests.support import bundles

from unveil.inference import cores
from unveil.inference.bundle import load

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("5000 100000\n", 1),
        ("max 100000\n", None),
        ("\n", None),
        ("a b\n", None),
        (None, None),
    ],
)
def test_the_limit_of_a_container_is_rounded_up(tmp_path, content, limit):
    file = tmp_path / "cpu.max"
    if content is not None:
        file.write_text(content)
    assert cores.cpu_limit(file) == limit
    assert cores.available_cores(file) == min(AFFINITY, limit or AFFINITY)


def test_a_limit_never_adds_cores(tmp_path):
    file = tmp_path / "cpu.max"
    file.write_text(f"{(AFFINITY + 3) * 100000} 100000\n")
    assert cores.available_cores(file) == AFFINITY


@pytest.mark.parametrize(("content", "threads"), [("100000 100000\n", 1), ("max 100000\n", 0)])
def test_the_network_uses_no_more_threads_than_the_container_has(
    tmp_path, monkeypatch, content, threads
):
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(cores.cpu_limit, "__defaults__", (tmp_path / "cpu.max",))
    monkeypatch.setattr(cores.available_cores, "__defaults__", (tmp_path / "cpu.max",))
    session = load(bundles.made(tmp_path / "bundle")).session
    assert session.get_session_options().intra_op_num_threads == threads
