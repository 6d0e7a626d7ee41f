"""Reading CSV files saved by spreadsheets; anything else is a one-line error."""

import io

import pytest

from unveil.common import csv_reader
from unveil.common.csv_reader import CsvTable, read
from unveil.common.errors import UserError

PLAIN = "file,age\na.png,1\nb.png,2\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("\n", "\n , \n"),
        "\n\n" + PLAIN + ",,\n,,\n",
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("1", "1,"),
        '"file"," age "\n"a.png","1"\n"b.png","2"',
        ",file,age\n0,a.png,1\n1,b.png,2\n",
    ],
)
def test_a_table_is_the_same_however_it_was_saved(text):
    table = read(text.encode(), "t.csv")
    assert list(table.columns) == ["file", "age"]
    assert table.to_numpy().tolist() == [["a.png", "1"], ["b.png", "2"]]


def test_rows_are_numbered_as_an_editor_shows_them():
    assert list(read(b"\n\nfile\n\na.png\n,\nb.png\n", "t.csv").index) == [5, 7]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "t.csv cannot be read as a table: no columns"),
        (b"\n\n", "t.csv cannot be read as a table: line 2: no columns"),
        (b"file,age\na.png,1,2\n", "table: line 2: 3 cells, the header has 2"),
        (b"file,age\na.png,1\nb.png\n", "table: line 3: 1 cells, the header has 2"),
        (b"file,age,age\n", "table: duplicate column 'age'"),
        (b"file\n\xff\n", "t.csv cannot be read as a table: it is not UTF-8 text"),
        ("file\n".encode("utf-16"), "t.csv cannot be read as a table: it is not UTF-8 text"),
        (b'file\n"' + b"a" * (1 << 24) + b'b"\n', "line 2: field larger than field limit"),
    ],
)
def test_an_invalid_table_is_a_one_line_error(content, said):
    with pytest.raises(UserError) as refusal:
        read(content, "t.csv")
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_column_names_match_in_any_case():
    table = csv_reader.match_column_case(read(b"File,AGE\na,1\n", "t.csv"), ["file", "name"])
    assert list(table.columns) == ["file", "AGE"]


def test_a_table_is_read_row_by_row_with_line_numbers():
    table = CsvTable(io.StringIO("a,b\n1,2\n\n3,4\n"))
    assert list(table) == [(2, ["1", "2"]), (4, ["3", "4"])]
