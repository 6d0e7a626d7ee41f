"""Times in a video and the frames that are chosen, without a video."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.common.errors import UserError
from unveil.inference.frame_choice import FrameChoice, FramePicker, choose, seconds

milliseconds = st.integers(0, 999)


@given(st.integers(0, 10**6), milliseconds)
def test_seconds_are_read_as_they_are(whole, part):
    assert seconds("--from", str(whole)) == whole
    assert seconds("--from", f"{whole}.{part:03d}") == pytest.approx(whole + part / 1000)


@given(st.integers(0, 999), st.integers(0, 59), st.integers(0, 59), milliseconds)
def test_hours_minutes_and_seconds_are_read(hours, minutes, rest, part):
    expected = hours * 3600 + minutes * 60 + rest + part / 1000
    ends = f"{rest:02d}.{part:03d}"
    assert seconds("--to", f"{hours}:{minutes:02d}:{ends}") == pytest.approx(expected)
    assert seconds("--to", f"{hours * 60 + minutes}:{ends}") == pytest.approx(expected)


@given(st.text() | st.text("0123456789:.-+e nif", max_size=9))
def test_any_other_text_is_one_line_that_names_it(text):
    try:
        assert seconds("--from", text) >= 0
        assert set(text) <= set("0123456789:.")
    except UserError as error:
        assert str(error).startswith("--from ") and "[h:]mm:ss[.fff]" in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:2", "1:60:00", "1e3", "nan", "inf", "1:2:3:4", "٣", "9" * 400]
)
def test_what_only_looks_like_a_time_is_refused(text):
    with pytest.raises(UserError, match="not a time in the video; choose seconds"):
        seconds("--from", text)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((2, 1.0, None, None), "--every and --fps exclude each other"),
        ((None, None, "10", "0:05"), "--to 0:05 is not after the start at 10; choose a later --to"),
        ((None, None, "5", "5"), "not after the start at 5"),
        ((None, None, None, "0"), "--to 0 is not after the start at 0; choose a later --to"),
        ((None, None, "-3", None), "--from -3: not a time"),
    ],
)
def test_contradictions_are_named(options, named):
    with pytest.raises(UserError) as raised:
        choose(*options)
    assert named in str(raised.value)


def picked(choice: FrameChoice, times: list[float]) -> list[float]:
    picker = FramePicker(choice)
    return [when for when in times if picker.picks(when)]


def test_each_nth_frame_is_picked_from_the_first_on():
    assert picked(FrameChoice(every=3), list(range(10, 20))) == [10, 13, 16, 19]
    assert picked(FrameChoice(), [0, 1, 2]) == [0, 1, 2]


@given(
    st.sampled_from([1, 2, 7.5, 12, 25, 29.97, 30, 50]),
    st.sampled_from([5, 24, 25, 29.97, 30, 60]),
    st.floats(0, 1000),
)
def test_at_most_so_many_frames_a_second_are_picked_and_not_fewer_than_needed(most, rate, start):
    # Matroska rounds times to milliseconds.
    times = [round(start + number / rate, 3) for number in range(round(rate * 10))]
    got = picked(FrameChoice(per_second=most), times)
    expected = FrameChoice(per_second=most).rate(rate) * 10
    assert got[0] == times[0]
    assert expected - 1 <= len(got) <= expected + 1.1


def test_a_pause_in_the_times_is_no_reason_for_a_burst():
    times = [0.0, 0.1, 0.2, 60.0, 60.1, 60.2]
    assert picked(FrameChoice(per_second=1), times) == [0.0, 60.0]


def test_the_rate_of_the_chosen_frames():
    assert FrameChoice(every=4).rate(30) == 7.5
    assert FrameChoice(per_second=5).rate(30) == 5
    assert FrameChoice(per_second=50).rate(float(Fraction(30000, 1001))) == 30000 / 1001
