"""Files that a recipe compares with: every layout is read, and what cannot be read is named by file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.references import Part, texts_of

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "May I?"},
    {"role": "assistant", "content": "You may."},
    {"role": "user", "content": "And she?"},
    {"role": "assistant", "content": "She may."},
]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, part: Part = "prompt") -> str:
    with pytest.raises(RecipeError) as caught:
        texts_of(path, part=part)
    return str(caught.value)


def test_a_text_file_holds_one_text_on_each_line_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "\ufefffirst line\r\n\r\n  second é  \n")
    assert texts_of(path) == ["first line", "second é"]
    assert texts_of(path, part="answer") == ["first line", "second é"]


@pytest.mark.parametrize(
    ("record", "prompt", "answer"),
    [
        ({"messages": TURNS}, "May I?\nAnd she?", "You may.\nShe may."),
        ({"instruction": "Add.", "input": "1, 2", "output": "3"}, "Add.\n\n1, 2", "3"),
        ({"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}]}, "Add.\n\n1, 2", "3"),
        ({"instruction": "Add 1 and 2.", "input": "", "output": "3"}, "Add 1 and 2.", "3"),
        ({"question": "How many?", "answer": "Four."}, "How many?", "Four."),
        ({"prompt": "How many?", "completion": "Four."}, "How many?", "Four."),
        ({"prompt": [{"role": "user", "content": "How many?"}], "response": "Four."}, "How many?", "Four."),
        ({"problem": "How many?", "answer": "Four.", "level": 3}, "How many?", "Four."),
        ({"text": "A whole text."}, "A whole text.", "A whole text."),
        ("A whole text.", "A whole text.", "A whole text."),
    ],
)
def test_each_layout_gives_what_was_asked_and_what_was_answered(
    tmp_path: Path, record: Any, prompt: str, answer: str
) -> None:
    lines = written(tmp_path, "a.jsonl", json.dumps(record) + "\n\n" + json.dumps(record))
    listed = written(tmp_path, "a.json", json.dumps([record, record]))
    for path in (lines, listed):
        assert texts_of(path) == [prompt] * 2
        assert texts_of(path, part="answer") == [answer] * 2
        both = prompt if prompt == answer else f"{prompt}\n\n{answer}"
        assert texts_of(path, part="all") == [both] * 2


def test_a_file_that_was_read_already_is_not_read_again(tmp_path: Path) -> None:
    assert texts_of(tmp_path / "gone.txt", b"one\ntwo") == ["one", "two"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=1))
def test_texts_come_back_in_their_order_as_they_were_written(texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    assert texts_of("a.jsonl", lines.encode()) == [text.strip() for text in texts]


def test_lone_surrogates_become_what_utf8_can_hold(tmp_path: Path) -> None:
    assert texts_of(written(tmp_path, "a.jsonl", r'"half \ud800 a pair"')) == ["half � a pair"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", "x", "a.csv ends in .csv"),
        ("a.txt", " \n\n", "a.txt holds no text"),
        ("a.txt", b"fine\nbad \xff", "a.txt:2 is not UTF-8: byte 0xff"),
        ("a.jsonl", '"fine"\n{"text": ', "a.jsonl:2 is not valid JSON: Expecting value at column 10"),
        (
            "a.json",
            '[\n"fine",\nx]',
            "a.json:3 is not valid JSON: Expecting value at column 1",
        ),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1 is not valid JSON: it is nested too deeply"),
        ("a.json", '{"data": []}', "a.json:1 holds a dict, not a list"),
        (
            "a.jsonl",
            '"fine"\n{"id": 7, "score": 1}',
            "a.jsonl:2 has nothing that was asked: it holds the keys id, score",
        ),
        ("a.json", '["fine", 7]', "a.json: record 2 has nothing that was asked: it is 7"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, what: str
) -> None:
    said = refused(written(tmp_path, name, content)).splitlines()
    assert said[0] == str(tmp_path / what)
    assert [line.split(":")[0] for line in said[1:]] == ["  why", "  do"]


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.txt").startswith(f"{tmp_path / 'gone.txt'} cannot be read: No such file")
    (tmp_path / "folder.txt").mkdir()
    assert "folder.txt cannot be read" in refused(tmp_path / "folder.txt")


def test_a_question_without_an_answer_has_no_answer(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"question": "How many?"}')
    assert "a.jsonl:1 has no answer: it holds the keys question\n" in refused(path, "answer")
    assert texts_of(path, part="all") == ["How many?"]


def test_a_blank_field_is_an_empty_text_and_keeps_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"question": "One?", "answer": ""}\n{"question": "Two?", "answer": "Two."}')
    assert texts_of(path, part="answer") == ["", "Two."]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; set THOUSANDFOLD_TEST_DATA")
def test_published_files_are_read_whole() -> None:
    assert len(texts_of(DATA / "self_instruct_seed_tasks.jsonl")) == 175
    assert len(texts_of(DATA / "self_instruct_seed_tasks.jsonl", part="answer")) == 175
    assert len(texts_of(DATA / "alpaca_5000.json")) == 5000
    assert texts_of(DATA / "alpaca_5000.json", part="answer").count("") == 2
