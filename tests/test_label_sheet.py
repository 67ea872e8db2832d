"""The sheet: opened by any spreadsheet, computed by none, and read as whatever the spreadsheet saved."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.errors import OutputError, RecipeError, StorageError
from thousandfold.gen.label_sheet import COLUMNS, cell, conversation, is_text, read_sheet, uncell, write_sheet
from thousandfold.gen.text import on_screen

ROWS = "id,facet,text,rubric,level,who\r\nd-1,f,one,r,3,ana\r\nd-2,f,two,r,,\r\nd-3,f,three,r,0,\r\n"


def saved(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def row(**cells: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | cells


@given(st.text() | st.text(alphabet="=+-@'\t\r\n ab"))
def test_a_cell_comes_back_as_it_was_shown_and_never_begins_like_a_formula(text: str) -> None:
    assert uncell(cell(text)) == on_screen(text)
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-1", "@me", "'quoted'", "''", '=HYPERLINK("http://x")'])
def test_what_a_spreadsheet_would_compute_is_written_behind_a_quote_and_restored(text: str, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.csv", [row(id="d-1", level="2", who=text, text=text)])
    with (tmp_path / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        (written,) = csv.DictReader(file)
    assert written["text"] == written["who"] == f"'{text}"
    (read,) = read_sheet(tmp_path / "sheet.csv").rows
    assert (read.who, read.text) == (text, text)


def test_a_sheet_begins_with_a_mark_that_says_utf_8_and_ends_its_lines_as_spreadsheets_do(tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.csv", [row(id="d-1", text="Grüße\naus Köln")])
    data = (tmp_path / "sheet.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,facet,text,rubric,level,who\r\n")
    assert "Grüße\naus Köln".encode() in data


def test_rows_without_a_level_are_counted_and_left(tmp_path: Path) -> None:
    sheet = read_sheet(saved(tmp_path, ROWS))
    assert [(r.line, r.id, r.level, r.who, r.text) for r in sheet.rows] == [
        (2, "d-1", 3, "ana", "one"), (4, "d-3", 0, "", "three"),
    ]  # fmt: skip
    assert sheet.blank == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ROWS.encode("utf-8-sig"), id="with a mark"),
        pytest.param(ROWS.replace("\r\n", "\n").encode(), id="line feeds"),
        pytest.param(ROWS.replace(",", ";").encode("utf-8-sig"), id="semicolons"),
        pytest.param(b"sep=;\r\n" + ROWS.replace(",", ";").encode(), id="Excel's sep line"),
        pytest.param(ROWS.replace(",", "\t").encode("utf-16"), id="Excel's Unicode text"),
        pytest.param("\r\n".join(f'"{line}"'.replace(",", '","') for line in ROWS.split()).encode(), id="all quoted"),
        pytest.param(ROWS.replace("id,facet", "ID , Facet").encode(), id="a header typed anew"),
        pytest.param(ROWS.replace(",3,", ",3.0,").encode(), id="a level as a decimal"),
        pytest.param(ROWS.replace(",", ";").replace(";3;", ";3,0;").encode(), id="a level as a German decimal"),
        pytest.param((ROWS + ",,,,,\r\n\r\n").encode(), id="blank lines at the end"),
    ],
)
def test_a_sheet_is_read_however_a_spreadsheet_saved_it(data: bytes, tmp_path: Path) -> None:
    sheet = read_sheet(saved(tmp_path, data))
    assert [(r.id, r.level) for r in sheet.rows] == [("d-1", 3), ("d-3", 0)]


def test_id_and_level_are_enough(tmp_path: Path) -> None:
    (read,) = read_sheet(saved(tmp_path, "level,id\n4,d-9\n")).rows
    assert (read.id, read.level, read.who, read.text) == ("d-9", 4, "", None)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is empty"),
        (b"\r\n\r\n", "it is empty"),
        (b"id,facet\nd-1,f\n", "its first line has no column 'level'; it reads id, facet"),
        (b"d-1,3\nd-2,4\n", "its first line has no column 'id'"),
        (b"id,level,level\nd-1,3,4\n", "its first line has two columns 'level'"),
        (b"id,level\n", "no level stands in it"),
        (b"id,level\nd-1,\n", "no level stands in it"),
        (b"id,level\nd-1,5\n", "line 2 (d-1): level '5'"),
        (b"id,level\nd-1,7.5\nd-2,-1\nd-3,good\n", "line 2 (d-1): level '7.5'; line 3 (d-2): level '-1'; line 4"),
        (b"id,level\nd-1,3.5\n", "line 2 (d-1): level '3.5'"),
        (b"id,level\n,3\n", "line 2 has a level and no id"),
        (b"id,level\nd-1,3,and more\n", "line 2 has 3 cells, the first line 2"),
        (b'id,level\nd-1,"3\nd-2,4\n', "is no CSV: unexpected end of data"),
        ("id,level\nd-1,3\nd-2,é\n".encode("latin-1"), "line 3 is not UTF-8: byte 0xe9"),
        (b"id,level\nd-1,\x1b[31m\n", "level '\ufffd[31m'"),
        (b"\xff\xfei", "is not UTF"),
        (b"PK\x03\x04\x14\x00\x08\x08\xff", "is not UTF-8"),
    ],
)
def test_a_sheet_that_is_wrong_is_refused_with_its_line(data: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as seen:
        read_sheet(saved(tmp_path, data))
    assert sentence in seen.value.what
    assert str(tmp_path / "sheet.csv") in seen.value.what


def test_many_wrong_rows_are_counted_and_a_few_are_shown(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"line 6 \(d-4\): level '9'; and 25 more\n"):
        read_sheet(saved(tmp_path, "id,level\n" + "".join(f"d-{i},9\n" for i in range(30))))


def test_a_text_of_a_million_characters_is_one_cell(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    (read,) = read_sheet(saved(tmp_path, f"id,level,text\nd-1,3,{'x' * 1_000_000}\n")).rows
    assert len(read.text or "") == 1_000_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_sheet_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_sheet(tmp_path / name)


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = saved(tmp_path, "mine")
    with pytest.raises(OutputError, match="is there already"):
        write_sheet(path, [row(id="d-1")])
    assert path.read_text() == "mine"


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_sheet(tmp_path / "no" / "sheet.csv", [row(id="d-1")])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda _, mode: real(Path("/dev/full"), mode.replace("x", "w"), buffering=0))
    with pytest.raises(StorageError, match="No space left"):
        write_sheet(tmp_path / "sheet.csv", [row(id="d-1")])


MESSAGES = [{"role": "user", "content": "-1 is what?\n\nTell me."}, {"role": "assistant", "content": "A number."}]


@pytest.mark.parametrize(
    ("seen", "same"),
    [
        (conversation(MESSAGES), True),
        (conversation(MESSAGES).replace("\n", "\r\n"), True),
        ("  " + conversation(MESSAGES).replace("\n", " "), True),
        (conversation(MESSAGES[:1]), False),
        (conversation(MESSAGES) + " And more.", False),
    ],
)
def test_a_text_is_known_again_whatever_became_of_its_blanks(seen: str, same: bool) -> None:
    assert is_text(seen, MESSAGES) is same


def test_a_text_that_a_spreadsheet_cut_at_its_longest_cell_is_known_again() -> None:
    long = [{"role": "user", "content": "word " * 10_000}]
    assert is_text(conversation(long)[:32_767], long)
    assert not is_text("USER:\n" + "other " * 6000, long)
