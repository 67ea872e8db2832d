"""A schedule of bad weather: what it says, and how it says that it cannot be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.teachers.rehearsal.journal import Journal
from thousandfold.gen.teachers.rehearsal.weather import Weather, read_weather

from ._runs import command


def weather(folder: Path, text: str) -> Weather:
    path = folder / "faults.toml"
    path.write_text(text, encoding="utf-8")
    return read_weather(path)


def kinds(sky: Weather, numbers: range, *, seconds: float = 0.0, in_flight: int = 1) -> list[str | None]:
    met = (sky.at(number=number, seconds=seconds, in_flight=in_flight) for number in numbers)
    return [fault.kind if fault else None for fault in met]


def test_requests_are_counted_from_one_and_both_ends_belong(tmp_path: Path) -> None:
    sky = weather(tmp_path, '[[faults]]\nkind = "500"\nrequests = [2, 3]')
    assert kinds(sky, range(1, 5)) == [None, "500", "500", None]


def test_the_first_fault_that_is_met_is_the_one_that_happens(tmp_path: Path) -> None:
    sky = weather(tmp_path, '[[faults]]\nkind = "hang"\nseconds = [1, 2]\n[[faults]]\nkind = "html"')
    assert [*kinds(sky, range(1, 2)), *kinds(sky, range(1, 2), seconds=1.5)] == ["html", "hang"]


def test_above_counts_what_is_in_flight(tmp_path: Path) -> None:
    sky = weather(tmp_path, '[[faults]]\nkind = "429"\nabove = 4')
    assert [kinds(sky, range(1, 2), in_flight=n)[0] for n in (4, 5)] == [None, "429"]


def test_a_share_is_drawn_by_the_seed_and_the_same_for_everybody(tmp_path: Path) -> None:
    text = '[[faults]]\nkind = "reset"\nshare = 0.1\n[[faults]]\nkind = "502"\nshare = 0.1'
    first = kinds(weather(tmp_path, text), range(1, 5001))
    assert first == kinds(weather(tmp_path, text), range(1, 5001))
    assert first != kinds(weather(tmp_path, f"seed = 2\n{text}"), range(1, 5001))
    count = Counter(first)
    assert 400 < count["reset"] < 600
    assert 350 < count["502"] < 550  # a tenth of the nine tenths that are left


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[[faults]]\nkind = "fog"', "faults.0.kind = 'fog'"),
        ('[[faults]]\nkind = "429"\nshare = 2.0', "faults.0.share = 2.0"),
        ('[[faults]]\nkind = "429"\nrequests = [0, 1]', "faults.0.requests.0 = 0"),
        ('[[faults]]\nkind = "429"\nevery = 3', "unknown key faults.0.every = 3"),
        ('[[fault]]\nkind = "429"', "unknown key fault = "),
        ("[[faults]]\nrequests = [1, 2]", "faults.0.kind is missing"),
        ("[[faults", "is no TOML"),
    ],
)
def test_a_schedule_that_says_what_none_may_is_refused_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        weather(tmp_path, text)
    assert what in caught.value.what
    assert caught.value.why
    assert caught.value.do


def test_bounds_the_wrong_way_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        weather(tmp_path, '[[faults]]\nkind = "429"\nrequests = [9, 3]')
    assert "name the first before the last, not [9, 3]" in caught.value.why


def test_files_that_cannot_be_read_or_written_are_said_before_the_port_is_open(tmp_path: Path) -> None:
    for option in ("--faults", "--log"):
        said = command("rehearse", option, "not/there", cwd=tmp_path)
        assert (said.code, said.out) == (2, "")
        assert "'not/there'" in said.err
        assert "No such file or directory" in said.err


def test_a_journal_counts_seconds_from_the_first_request(tmp_path: Path) -> None:
    times = iter([100.0, 102.5])
    journal = Journal(tmp_path / "log", clock=lambda: next(times))
    lines = [journal.arrived(), journal.arrived()]
    journal.close()
    assert [(line.number, line.at) for line in lines] == [(1, 0.0), (2, 2.5)]
