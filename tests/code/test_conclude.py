"""How a train-all ends: what was not compared, though it was trained, is no success."""

import pytest
from flows.stages import conclude
from prefect.states import Completed, Failed

from unveil.files import write_json
from unveil.paths import COMPARISON, LEADERBOARD


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(COMPARISON, {"ranking": ["cnn3"], "reports": {"cnn3": {}}})
    LEADERBOARD.write_text("| cnn3 |\n")


def test_what_was_trained_and_compared_is_a_success():
    ended = conclude({"cnn3": Completed()}, Completed(message="cnn3 is champion"))
    assert (ended.is_completed(), ended.message) == (True, "cnn3 is champion")


def test_what_another_command_changed_meanwhile_is_named():
    ended = conclude({"cnn3": Completed(), "cnn4": Completed()}, Completed(message="champion"))
    assert ended.is_failed()
    assert str(ended.message).startswith("not compared: cnn4; another command changed")


def test_what_failed_is_named_as_that(capsys):
    ended = conclude({"cnn3": Completed(), "cnn4": Failed(message="no room")}, Completed())
    assert ended.message == "failed: cnn4; the others were compared"
    assert "cnn4 failed: no room" in capsys.readouterr().out


def test_where_nothing_was_to_do_nothing_is_asked():
    COMPARISON.unlink()
    assert conclude({}, Completed(message="nothing to do")).is_completed()
