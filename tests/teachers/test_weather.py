"""Bad weather over real HTTP: each kind ends well or says what to do, and the server's log agrees with the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from .._weather import Came, books_agree, in_weather, questions

COUNT = 40


def fair(came: Came) -> None:
    assert came.trouble is None
    assert came.failures == {}
    assert len(came.outcomes) == COUNT
    tries = sum(o.attempts for o in came.outcomes.values())
    refused = came.log.of(fault="outage") != []  # a connection that was refused is a try that no server has seen
    assert tries > len(came.log.lines) if refused else tries == len(came.log.lines)
    books_agree(came, questions(COUNT))


HEALS = {
    "429 that says when": '[[faults]]\nkind = "429"\nrequests = [5, 60]\nretry_after = 0.1',
    "429 that does not": '[[faults]]\nkind = "429"\nrequests = [5, 20]',
    "429 above 3 at once": '[[faults]]\nkind = "429"\nabove = 3\nretry_after = 0.05',
    "500": '[[faults]]\nkind = "500"\nrequests = [10, 15]',
    "502": '[[faults]]\nkind = "502"\nshare = 0.1\nretry_after = 0.1',
    "503": '[[faults]]\nkind = "503"\nrequests = [10, 15]\nretry_after = 0.2',
    "reset in mid-body": '[[faults]]\nkind = "reset"\nrequests = [10, 15]',
    "a hang": '[[faults]]\nkind = "hang"\nrequests = [10, 12]',
    "an outage": '[[faults]]\nkind = "outage"\nrequests = [20, 20]\nfor_seconds = 1.5',
    "slow drip": '[[faults]]\nkind = "drip"\nrequests = [10, 15]\nfor_seconds = 0.5',
    "a drip too slow": '[[faults]]\nkind = "drip"\nrequests = [10, 12]\nfor_seconds = 60',
    "wrong content type": '[[faults]]\nkind = "wrong_type"',
    "HTML": '[[faults]]\nkind = "html"\nrequests = [10, 15]',
    "truncated JSON": '[[faults]]\nkind = "truncated"\nrequests = [10, 15]',
    "another model's name": '[[faults]]\nkind = "other_model"\nrequests = [10, 20]',
    "usage missing": '[[faults]]\nkind = "no_usage"\nrequests = [10, 20]',
    "duplicate ids": '[[faults]]\nkind = "same_id"',
}


@pytest.mark.parametrize("faults", HEALS.values(), ids=HEALS.keys())
def test_weather_that_passes_leaves_no_trace_in_the_answers(tmp_path: Path, faults: str) -> None:
    slow = "hang" in faults or "60" in faults.partition("for_seconds")[2]
    came = in_weather(tmp_path, faults, COUNT, "--latency", "0.03", timeout_seconds=1.0 if slow else 20.0)
    assert any(line["fault"] for line in came.log.lines)
    fair(came)
