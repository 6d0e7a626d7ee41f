"""CSV and Markdown tables: formulas are escaped, and reading restores the text."""

import ast
import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT

from unveil.common import csv_writer
from unveil.data import corrections
from unveil.data.export_archive import _groups
from unveil.evaluation import predictions
from unveil.inference import output_formats
from unveil.inference.decision import Answer
from unveil.inference.predict import FacePrediction
from unveil.privacy.erasure_request import _without

FORMULAS = (
    *("=1+1", "+1", "-1+2", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "'=1", '"=1', "\ufeff=1"),
    *("\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "-", "-cmd|' /C calc'!A0", "--1", "-1e"),
)
HARMLESS = ("", "a", "a=1", "happy/-1.png", "-1", "-0.5", "-.5", "-1e-05", "1", "'a'", "1.0e5")


@pytest.mark.parametrize("cell", FORMULAS)
def test_formulas_are_escaped(cell):
    assert csv_writer.escape_formula(cell) == f"'{cell}"
    assert csv_writer.unescape_formula(csv_writer.escape_formula(cell)) == cell


@pytest.mark.parametrize("cell", HARMLESS)
def test_other_text_and_negative_numbers_are_unchanged(cell):
    assert csv_writer.escape_formula(cell) == csv_writer.unescape_formula(cell) == cell


@given(st.text(alphabet="=+-@\t\r\n'\" a1;,.\uff1d", max_size=6))
def test_escaping_is_reversible(cell):
    assert csv_writer.unescape_formula(csv_writer.escape_formula(cell)) == cell
    (row,) = csv.reader(io.StringIO(csv_writer.to_lines([[cell, "end"]]), newline=""))
    assert csv_writer.unescape_formula(row[0]) == cell


def test_numbers_of_a_table_stay_numbers_and_its_header_is_text_too():
    table = pd.DataFrame({"=cmd": ["=1+1", "-3"], "loss": [-1.5, 2.0]})
    assert csv_writer.to_csv(table) == "'=cmd,loss\n'=1+1,-1.5\n-3,2.0\n"
    back = csv_writer.unescape_table(
        pd.read_csv(io.StringIO(csv_writer.to_csv(table)), dtype={"=cmd": str})
    )
    assert back.equals(table)


def _read(text: str, separator: str) -> list[list[str]]:
    delimiter = separator if separator in ";\t" else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("separator", [";", "\t", "\r", "\n"])
def test_cells_with_other_separators_are_quoted(separator):
    table = pd.DataFrame({"name": [f"a{separator}=1+1", "b"]})
    for text in (csv_writer.to_csv(table), csv_writer.to_lines([[cell] for cell in table["name"]])):
        cells = [cell for row in _read(text, separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith("=")]


def test_a_file_name_like_a_formula_is_escaped_in_predictions():
    seen = FacePrediction("=1+1.png", Answer("happy", probabilities={"=a": 0.5}))
    assert output_formats.line(seen, "csv", ["=a"]).startswith("'=1+1.png,")


def test_a_reviewed_list_is_recognised_again(tmp_path):
    rows = pd.DataFrame(
        {
            "sha256": ["a" * 64],
            "member": ["=1+1/train/sad/0.png"],
            "action": ["relabel"],
            "new_label": ["=happy"],
        }
    )
    (tmp_path / "suspects.csv").write_text(csv_writer.to_csv(rows))
    faces = pd.DataFrame({"sha256": ["a" * 64]})
    kept = tmp_path / "corrections.csv"
    corrections.review(tmp_path / "suspects.csv", faces, ["=happy", "sad"], kept)
    assert "\n'" not in kept.read_text() and ",'=1+1/train" in kept.read_text()
    read = corrections.read(["=happy", "sad"], kept)
    assert read[["member", "label"]].to_numpy().tolist() == [["=1+1/train/sad/0.png", "=happy"]]


def test_a_class_name_like_a_formula_is_read_back(tmp_path):
    table = pd.DataFrame({"actual": ["=a"], "predicted": ["b"], "p_=a": [0.25], "p_b": [0.75]})
    (tmp_path / predictions.FILE).write_text(csv_writer.to_csv(table))
    assert predictions.read(tmp_path, ("=a", "b"), made_by="x").truth.tolist() == [0]


def test_attributes_are_escaped_in_exports_and_after_erasure():
    faces = pd.DataFrame({"member": ["x.png"], "glasses": ["=1+1"], "=hat": ["@x"]})
    assert _groups(faces, ["train/sad/0-x.png"]) == (
        "file,glasses,'=hat\ntrain/sad/0-x.png,'=1+1,'@x\n"
    )
    table = b"file,who\n=1/a.png,-\n=1/b.png,+\n'=1/c.png,'-\n"
    assert _without(table, {"=1/b.png"}) == b"file,who\n'=1/a.png,'-\n'=1/c.png,'-\n"
    assert _without(table, {"=1/c.png"}) == b"file,who\n'=1/a.png,'-\n'=1/b.png,'+\n"


def test_markdown_cells_are_escaped():
    assert (
        csv_writer.markdown_cell("a|b\\|<b>`c`\n[x](y)") == r"a\|b\\\|&lt;b&gt;&#96;c&#96; [x]\(y)"
    )
    assert csv_writer.markdown_cell("0.9 [0.8, 1.0]") == "0.9 [0.8, 1.0]"


@pytest.mark.parametrize(
    "path",
    sorted(path for place in ("src", "flows", "scripts") for path in (ROOT / place).rglob("*.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_only_csv_writer_writes_csv(path):
    if path.name == "csv_writer.py":
        return
    text = path.read_text()
    used = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute | ast.ImportFrom)
    }
    assert not [
        name
        for name in used
        if re.search(
            r"csv\.(Dict)?[wW]riter|from csv|(?<!csv_writer)\.(to_csv|to_excel|savetxt|tofile)$",
            name,
        )
    ]
    assert not (".csv" in text and re.search(r"""["'],["']\.join\(""", text))
