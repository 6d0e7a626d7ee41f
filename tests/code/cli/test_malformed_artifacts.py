"""JSON and YAML of another structure are one-line errors that name the file and the remedy."""

import json
from pathlib import Path

import pytest
from flows import artifacts, code_version
from flows.report import report

from unveil.common.errors import UserError
from unveil.common.files import write_json
from unveil.common.paths import COMPARISON, PROMOTION, TrainingPaths
from unveil.evaluation.model_comparison import read_comparison
from unveil.experiments import seeds
from unveil.reporting import report_data

RANKINGS = [[], None, "cnn3", {"cnn3": 1}, [["cnn3"]], ["absent"], 7]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("ranking", RANKINGS)
def test_a_comparison_that_ranks_no_candidate_is_named(ranking):
    write_json(COMPARISON, {"ranking": ranking, "reports": {"cnn3": {}}})
    line = f"{COMPARISON} ranks no candidate; run `unveil compare` again"
    with pytest.raises(UserError) as refusal:
        read_comparison()
    assert str(refusal.value) == line
    assert report.fn().message == line


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"ranking": ["cnn3"]}'])
def test_a_damaged_comparison_fails_the_report_with_one_line(content):
    COMPARISON.parent.mkdir(parents=True)
    COMPARISON.write_text(content)
    message = report.fn().message
    assert message.startswith(str(COMPARISON))
    assert message.endswith("; run `unveil compare` again")


def test_a_comparison_is_read_as_it_was_written():
    content = {"ranking": ["cnn3"], "reports": {"cnn3": {"architecture": "cnn3"}}}
    write_json(COMPARISON, content)
    assert read_comparison() == content


def test_a_missing_key_of_an_optional_file_is_named(place):
    write_json(PROMOTION, {"act": "refused"})
    with pytest.raises(UserError, match=r"promotion.json has no 'candidate'; run `unveil promote`"):
        report_data.read_optional(PROMOTION, made_by="unveil promote")["candidate"]
    write_json(place / "report/metrics.json", {"epochs": 1})
    paths = TrainingPaths(place / "model", place / "report", place / "checkpoints")
    with pytest.raises(UserError, match=r"metrics.json has no 'model_digest'; run `unveil"):
        seeds._evaluated(paths)


@pytest.mark.parametrize("text", ["- a\n", "stages: []\n", "stages:\n", "a: [\n", "7\n"])
def test_a_dvc_lock_of_another_structure_is_named(text):
    code_version.LOCK.write_text(text)
    with pytest.raises(UserError, match=r"^dvc.lock cannot be read: .*`git checkout -- dvc.lock`"):
        artifacts._lock_content()
    code_version.LOCK.write_text("")
    assert artifacts._lock_content()["stages"] == {}
    code_version.LOCK.write_text(json.dumps({"stages": {"a": {}}}))
    assert artifacts._lock_content()["stages"] == {"a": {}}
