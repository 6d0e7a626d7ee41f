"""`unveil bench serve --against` measures two builds of the server beside each other."""

import os
import sys
from pathlib import Path

import pytest
from tests.support import bundles
from tests.support.servers import BIN

from unveil.benchmarks import comparison, load_generator, payloads, server_process
from unveil.benchmarks.comparison import Measurement
from unveil.common.errors import UserError
from unveil.data.decoding import inspect

OTHER = "elsewhere/unveil"


def measured(**changed) -> Measurement:
    usual = {"capacity": 100.0, "share": 0.5, "p99": 200.0, "cpu": 3.0, "batches": 300.0}
    return Measurement(**{**usual, "frame": 8.0, "photo": 90.0, **changed})


def test_the_table_has_both_builds_and_their_ratio():
    results = {
        OTHER: [measured(photo="refused: 422 too | large")] * 2,
        "this build": [measured(capacity=180.0), measured(capacity=220.0)],
        "int8": [measured(capacity=300.0)] * 2,
    }
    lines = comparison.table(results).splitlines()
    assert lines[0] == f"| server | {OTHER} | this build | ratio | int8 | ratio |"
    assert lines[2] == (
        "| one face per request, at most, per second | 100 | 200 | 2.00 | 300 | 3.00 |"
    )
    assert lines[3].endswith("| 50% | 50% | 1.00 | 50% | 1.00 |")
    assert lines[8].endswith("| refused: 422 too / large | 90 |  | 90 |  |")
    assert "medians of 2 runs" in lines[-1]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("absent/unveil", "no such file"), (".", "permission denied"), ("/bin/echo", "names no")],
)
def test_a_path_that_is_no_unveil_is_refused_in_one_line(place, path, reason):
    with pytest.raises(UserError, match=f"{path} is no unveil executable: .*{reason}") as refused:
        comparison.compare(place, Path(path))
    assert "\n" not in str(refused.value)


def test_a_build_that_does_not_serve_is_reported(place, capfd):
    started = server_process.running(place / "none")
    with pytest.raises(UserError, match="serve does not start"), started:
        pass
    assert "no bundle" in capfd.readouterr().err


@pytest.mark.slow  # starts six servers
def test_two_builds_and_both_precisions_are_measured(tmp_path):
    cores = os.sched_getaffinity(0)
    made, other = bundles.made(tmp_path / "b"), BIN / "unveil"
    results = comparison.compare(made, other, rounds=1, seconds=0.3)
    assert os.sched_getaffinity(0) == cores
    assert list(results) == [str(other), "this build", "this build, int8"]
    for (run,) in results.values():
        assert run.capacity > 0
        assert len(cores) < 2 or (run.frame > 0 and run.photo > 0)
    assert str(other) in comparison.table(results)


def test_the_photo_has_12_megapixels_and_is_not_progressive():
    one = inspect(payloads.photo())
    assert (one.width, one.height, one.scans) == (4032, 3024, 1)
    assert one.content < 8_000_000


def test_requests_are_sent_until_all_are_answered(tmp_path):
    with server_process.running(bundles.made(tmp_path / "b"), command=server_process.THIS) as (
        url,
        ready,
    ):
        single = payloads.single_request()
        load_generator.send_count(url, [single, payloads.frame_request()], 20)
        assert [one.status for one in load_generator.send_each(url, single, 3)] == [200] * 3
        assert load_generator.rate(url, payloads.batch_request(), clients=2, seconds=0.3) > 0
        offered = load_generator.offer(url, single, rate=200, seconds=0.5)
        assert {one.status for one in offered} <= {200, 429}
        assert len(offered) <= 100
        assert server_process.memory(url) > 10
    assert ready > 0
    assert sys.executable in server_process.THIS
