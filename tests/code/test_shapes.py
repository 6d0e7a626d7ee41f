"""A file that is JSON or YAML and of another shape is one line that names it and what mends it."""

import json
from pathlib import Path

import pytest
from flows import exchange
from flows.report import report

from unveil import compare, seeds
from unveil.errors import UserError
from unveil.files import write_json
from unveil.paths import COMPARISON, PROMOTION, Place
from unveil.report import facts

RANKINGS = [[], None, "cnn3", {"cnn3": 1}, [["cnn3"]], ["absent"], 7]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("ranking", RANKINGS)
def test_a_comparison_that_ranks_nobody_is_named(ranking):
    write_json(COMPARISON, {"ranking": ranking, "reports": {"cnn3": {}}})
    line = f"{COMPARISON} ranks no candidate; `unveil compare` makes it anew"
    with pytest.raises(UserError) as refusal:
        compare.read()
    assert str(refusal.value) == line
    assert report.fn().message == line


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"ranking": ["cnn3"]}'])
def test_a_damaged_comparison_fails_the_report_in_a_line(content):
    COMPARISON.parent.mkdir(parents=True)
    COMPARISON.write_text(content)
    message = report.fn().message
    assert message.startswith(str(COMPARISON))
    assert message.endswith("; `unveil compare` makes it anew")


def test_a_comparison_is_read_as_it_was_written():
    content = {"ranking": ["cnn3"], "reports": {"cnn3": {"architecture": "cnn3"}}}
    write_json(COMPARISON, content)
    assert compare.read() == content


def test_what_an_optional_file_lacks_is_named(place):
    write_json(PROMOTION, {"act": "refused"})
    with pytest.raises(UserError, match=r"promotion.json has no 'candidate'; `unveil promote`"):
        facts.optional(PROMOTION, made_by="unveil promote")["candidate"]
    write_json(place / "report/metrics.json", {"epochs": 1})
    with pytest.raises(UserError, match=r"metrics.json has no 'model_digest'; `unveil"):
        seeds._evaluated(Place(place / "model", place / "report", place / "checkpoints"))


@pytest.mark.parametrize("text", ["- a\n", "stages: []\n", "stages:\n", "a: [\n", "7\n"])
def test_a_lock_of_another_shape_is_named_to_other_machines(text):
    exchange.LOCK.write_text(text)
    with pytest.raises(UserError, match=r"^dvc.lock cannot be read: .*`git checkout -- dvc.lock`"):
        exchange._lock_content()
    exchange.LOCK.write_text("")
    assert exchange._lock_content()["stages"] == {}
    exchange.LOCK.write_text(json.dumps({"stages": {"a": {}}}))
    assert exchange._lock_content()["stages"] == {"a": {}}
