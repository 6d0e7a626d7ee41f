"""The views of train-all: a run told event by event, plain and live, with a clock of its own."""

import io
import json
import re

import pytest
from flows import view as views
from flows.live_view import LiveView
from flows.plain_view import SILENCE, PlainView
from prefect.states import Completed, Failed
from rich.console import Console

from unveil.common.paths import SUMMARY

KEYS = ("cnn3", "cnn3_gray", "cnn4", "cnn4_gray", "cnn5_gray", "cnn5_small_gray")
KEYS += ("vgg16", "resnetv2", "efficientnet")
ANSI = re.compile(r"\x1b|\r")
SCORES = "7 epochs, macro-F1 0.591 in validation, 0.602 [0.561, 0.645] in test"
NOISE = [
    "Running stage 'train@cnn3':",
    "> unveil train cnn3",
    "Updating lock file 'dvc.lock'",
    "To track the changes with git, run:",
    "\tgit add dvc.lock",
    "Use `dvc push` to send your updates to remote storage.",
    "1/1 ━━━━━━━━━━━━━━━━━━━━ 0s 241ms/step",
]
ERROR_NOISE = [
    "WARNING:tensorflow:5 out of the last 5 calls to <function> triggered tf.function retracing.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1796046843.229453   27859 cpu_feature_guard.cc:227] This TensorFlow binary",
    "E0000 00:00:1796046843.229453   27859 cuda_executor.cc:1] no GPU",
    "2026-11-30 12:00:00.1: W external/local_xla/xla/tsl/framework/cpu_allocator_impl.cc:83] x",
    "2026/11/30 12:00:00 WARNING mlflow.utils: something",
    "Successfully registered model 'facial-emotion'.",
    "Created version '1' of model 'facial-emotion'.",
    "INFO  [alembic.runtime.migration] Running upgrade",
    "/usr/lib/python3/site-packages/keras/x.py:12: UserWarning: not for you",
    "  warnings.warn(",
    "ERROR: failed to reproduce 'train@cnn3'",
    "unveil: the loss is no longer finite",
    "",
]
WARNING = "not logged to MLflow: no answer; `unveil publish` logs it later"


class Clock:
    """Seconds that only the test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plain(place, clock) -> PlainView:
    SUMMARY.parent.mkdir(parents=True)
    SUMMARY.write_text(json.dumps({"used": {"train": {"happy": 400, "sad": 400}}}))
    return PlainView(io.StringIO(), io.StringIO(), clock)


@pytest.fixture
def live(place, clock) -> LiveView:
    console = Console(file=io.StringIO(), force_terminal=True, width=110, record=True)
    view = LiveView(console, io.StringIO())
    view.state.clock = clock
    return view


def tell(view: views.View, clock: Clock, *, seconds: float = 60) -> None:
    """A run of nine architectures, ``seconds`` for each training, with its noise."""
    for name in ("faces", "manifest", "validate", "pack", "card"):
        told_step(view, clock, name)
    view.plan(KEYS)
    for key in KEYS:
        view.begin_training(key)
        view.begin_step(f"train@{key}")
        view.hear(f"Running stage 'train@{key}':")
        for number in range(1, 8):
            for _ in range(10):
                clock.now += seconds / 70
                view.hear(f"{key}, stage 1 of 2:  37%|███▋      | 9/25 [00:10<00:16, 5.57 b/s]")
            scores = f"stage 1 of 2, validation macro-F1 0.{number}781, {seconds / 70:.1f} s"
            view.hear(f"{key}: epoch {number} of 7, {scores}", error=True)
        for line in NOISE:
            view.hear(line)
        for line in ERROR_NOISE:
            view.hear(line, error=True)
        view.end_step(f"train@{key}", None)
        view.begin_step(f"evaluate@{key}")
        clock.now += 20
        view.refresh()
        view.end_step(f"evaluate@{key}", None)
        view.end_training(key, SCORES)
    for name in ("compare", "promote", "report"):
        told_step(view, clock, name)


def told_step(view: views.View, clock: Clock, name: str) -> None:
    view.begin_step(name)
    view.hear(f"Running stage '{name}':")
    clock.now += 8
    view.hear(f"{name} has a result")
    view.end_step(name, None)


def test_the_plain_view_of_a_run_is_short_and_without_noise(plain, clock):
    tell(plain, clock)
    lines = plain._out.getvalue().splitlines()
    assert len(lines) <= 50
    assert not plain._err.getvalue()
    assert not ANSI.search("".join(lines))
    assert "faces, 8 s: faces has a result" in lines
    assert [line for line in lines if line.startswith("cnn3 starts")] == [
        "cnn3 starts; 0 of 9 architectures"
    ]
    assert [line for line in lines if line.startswith("cnn3, ")][-1] == f"cnn3, 80 s: {SCORES}"
    assert any(
        re.match(r"cnn4 starts; 2 of 9 architectures, about \d+ min left", line) for line in lines
    )


def test_the_plain_view_of_slow_trainings_writes_a_line_a_minute(plain, clock):
    tell(plain, clock, seconds=1200)
    lines = plain._out.getvalue().splitlines()
    shown = [line for line in lines if line.startswith("cnn3, ")]
    assert 15 <= len(shown) <= 1200 / SILENCE
    told = r"cnn3, epoch \d of 7, validation macro-F1 0\.\d78, stage 1 of 2, 37 %; 0 of 9 archi"
    assert len([line for line in shown if re.match(told, line)]) >= 12


def test_a_long_step_is_not_silent(plain, clock):
    plain.begin_step("manifest")
    clock.now += SILENCE
    plain.hear("manifest:  78%|███████▊  | 1120/1440 [00:01<00:00, 1119.75 faces/s]", error=True)
    assert plain._out.getvalue() == "manifest, 60 s so far, 78 %\n"


def test_a_warning_is_shown_once(plain):
    for _ in range(2):
        plain.hear(WARNING, error=True)
    assert plain._err.getvalue() == f"{WARNING}\n"


def test_a_failed_architecture_is_shown_with_its_reason_and_the_log(plain, clock):
    plain.log = "data/10_logs/a.log"
    plain.plan(KEYS[:2])
    plain.begin_training("cnn3")
    plain.fail_training("cnn3", Failed(message="stage train@cnn3 failed: no room"))
    expected = "cnn3 failed: stage train@cnn3 failed: no room; log: data/10_logs/a.log\n"
    assert plain._err.getvalue() == expected
    assert plain.state.position() == "1 of 2 architectures"


def test_what_is_up_to_date_is_named_and_does_not_count_for_the_time_left(plain, clock):
    plain.plan(KEYS[:2])
    plain.begin_training("cnn3")
    clock.now += 8
    plain.end_training("cnn3", SCORES)
    assert plain._out.getvalue().endswith(f"cnn3, up to date: {SCORES}\n")
    assert plain.state.position() == "1 of 2 architectures"


def test_the_time_left_follows_the_speed_so_far(plain, clock):
    tell(plain, clock)
    said = re.findall(r"(\d) of 9 architectures, about (\d+) min left", plain._out.getvalue())
    left = {int(ended): int(minutes) for ended, minutes in said}
    assert sorted(left.values(), reverse=True) == list(left.values())
    assert left[8] <= 5


def test_a_reader_that_has_gone_does_not_end_the_run(plain):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    plain._out = Gone()
    plain.say("a line")


def test_the_live_view_shows_steps_architectures_and_the_time_left(live, clock):
    with live:
        for name in ("faces", "manifest"):
            told_step(live, clock, name)
        live.plan(KEYS)
        live.begin_training("cnn3")
        live.hear("Running stage 'train@cnn3':")
        live.hear("cnn3: epoch 7 of 7, stage 2 of 2, validation macro-F1 0.5910, 4.2 s")
        clock.now += 90
        live.end_training("cnn3", SCORES)
        live.begin_training("cnn4")
        live.begin_step("train@cnn4")
        live.hear("cnn4: epoch 5 of 7, stage 2 of 2, validation macro-F1 0.4781, 4.2 s")
        live.warn(WARNING)
        live.finish(["Leaderboard"])
    shown = live.console.export_text()
    assert "✓ manifest" in shown
    assert re.search(r"1 of 9 architectures, about \d+ min left", shown)
    assert SCORES in shown
    assert "epoch 5 of 7, validation macro-F1 0.478" in shown
    assert shown.rstrip().endswith("Leaderboard")
    assert live._err.getvalue() == f"{WARNING}\n"


def test_the_live_view_draws_ascii_where_the_terminal_has_nothing_else(live, clock):
    told_step(live, clock, "faces")
    console = Console(file=io.TextIOWrapper(io.BytesIO(), "ascii"), force_terminal=True, width=80)
    drawn = LiveView(console, io.StringIO())
    drawn.state = live.state
    with console.capture() as captured:
        console.print(drawn.render())
    assert captured.get().isascii()
    assert "faces" in captured.get()


def test_a_task_is_a_step_and_a_failure_of_an_optional_one_is_shown(plain):
    @views.step()
    def task(name: str, state: object) -> object:
        return state

    with views.showing(plain):
        task("pack", Failed(message="reported at the end"))
        task("card", Failed(message="no space"))
        task("compare", None)
        task("report", Completed())
    assert views.current() is not plain
    assert [work.state for work in plain.state.steps.values()][3:] == [
        *("failed", "failed", "up to date", "waiting", "done")
    ]
    assert plain._err.getvalue() == "card failed: no space\n"


def test_in_a_deployment_lines_are_printed_for_prefect_and_none_twice(place, capsys):
    view = views.current()
    view.hear(WARNING, error=True)
    view.say("cnn3 is dispatched, attempt 1")
    assert capsys.readouterr().out == "cnn3 is dispatched, attempt 1\n"
