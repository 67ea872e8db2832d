"""What judges write that is no level, over real HTTP: unscored with a reason, kept as it came, asked again twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.judge_replies import read_evidence, read_level
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.replies import UnreadableReplyError

from ._judge_server import judge_server
from ._recipes import RESPECT

RUBRIC = RESPECT / "values" / "honest_apology.toml"
LONG = "The answer is warm, and yet. " * 7_000
BAD = {
    "prose": "This answer names the fault well, but its repair stays vague.",
    "another language": "Ich würde sagen, das ist eine gute Antwort.",
    "a digit within prose": "I would rate this a 3.",
    "a half": "7.5",
    "a half on the scale": "3.5",
    "two JSON objects": '{"level": 3}\n{"level": 4}',
    "one JSON object": '{"level": 3}',
    "200 kB": LONG,
    "200 kB after a digit": "3" + " " * 200_000 + "or so",
    "an Arabic digit": "٣",
    "a full-width digit": "３",
    "a superscript": "³",
    "NaN": "NaN",
    "a word": "three",
    "two levels": "3 or 4",
    "a range": "3-4",
    "a negative": "-3",
    "off the scale": "5",
    "thoughts alone": "<think>It is a 3, I think.</think>",
    "thoughts without an end": "<think>It is a 3",
    "blanks": " \n\t ",
}


def judged(url: str, ledger: Path | None = None, **options: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "What happened?"}, {"role": "assistant", "content": "It was me. I mend it."}]
    frame = pl.DataFrame({"messages": [turns]})
    scored = gen.judge(frame, RUBRIC, judge=f"openai:judge-x@{url}", ledger=ledger, details=True, **options)
    return scored.row(0, named=True)


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_a_reply_that_is_no_level_is_unscored_with_a_reason_kept_raw_and_asked_again_twice(
    reply: str, tmp_path: Path
) -> None:
    path = tmp_path / "judged.sqlite"
    with judge_server(level=reply) as server:
        row = judged(server.url, path)
        assert len(server.bodies) == 3
        assert judged(server.url, path) == row
        assert len(server.bodies) == 3  # what was paid for is not asked again
    assert (row["level"], row["score"], row["spans"], row["level_method"]) == (None, None, [], None)
    assert row["reason"] == f"the judge was asked for one digit 0 to 4 and wrote {reply.strip()[:60]!r}"
    [word] = row["by_judge"]
    with Ledger(path, read_only=True) as ledger:
        first = word["level_ask_ids"]
        chain = [*first, *ledger.follow_ups(first)[first[0]]]
        assert [outcome.text for outcome in ledger.get_many(chain).values()] == [reply] * 3
        assert ledger.unreadable(chain) == dict.fromkeys(chain, row["reason"])


@pytest.mark.parametrize(("reply", "requests"), [("", 1), (None, 1)])
def test_an_empty_reply_is_unscored_and_says_so(reply: str | None, requests: int) -> None:
    with judge_server(level=reply) as server:
        row = judged(server.url)
    assert (row["score"], len(server.bodies)) == (None, requests)
    assert row["reason"] == "empty: the reply has no text (finish_reason stop)"


def test_a_judge_that_mends_its_reply_is_scored_by_the_mended_one() -> None:
    with judge_server(level=lambda body: "3 or 4" if len(body["messages"]) == 2 else "3") as server:
        row = judged(server.url)
    assert (row["level"], row["score"]) == (3.0, 0.75)
    assert len(server.levels) == 2
    assert "wrote '3 or 4'" in server.levels[1]["messages"][-1]["content"]


def test_thoughts_before_the_level_are_none_of_it() -> None:
    with judge_server(level="<think>7.5 of 10? No: 3 or 4.</think>\n\n4") as server:
        assert judged(server.url)["level"] == 4.0


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ("It names the act.", "no evidence: no JSON object in the reply"),
        (
            '{"items": [], "reason": "a"}\n{"items": [], "reason": "b"}',
            "no evidence: several JSON objects in the reply",
        ),
        (LONG, "no evidence: no JSON object in the reply"),
        ('{"items": NaN}', "no evidence: items: "),
    ],
    ids=["prose", "two objects", "200 kB", "NaN"],
)
def test_evidence_that_cannot_be_read_costs_no_score_and_is_asked_for_again_twice(evidence: str, reason: str) -> None:
    with judge_server(evidence=evidence) as server:
        row = judged(server.url)
    assert (row["level"], row["spans"]) == (3.0, [])
    assert str(row["reason"]).startswith(reason)
    assert len(server.bodies) == 1 + 3


def test_an_object_that_is_said_twice_is_one() -> None:
    said = '{"items": [], "reason": "a"}'
    assert read_evidence(f"Here: {said}\n\nAgain: {said}").reason == "a"
    with pytest.raises(UnreadableReplyError):
        read_evidence(f"{said} {said.replace('a', 'b')}")


def test_a_long_reply_is_looked_at_once() -> None:
    """A pattern that tries every blank as the last one would be at it for hours."""
    for text in ("3" + " " * 2_000_000 + "x", " " * 2_000_000 + "x", "level" + " " * 2_000_000, "<think>" * 100_000):
        with pytest.raises(UnreadableReplyError):
            read_level(text)


# ── log-probabilities over HTTP ──


def test_an_endpoint_that_gives_log_probabilities_is_found_out_and_used_without_a_setting() -> None:
    with judge_server(level="3", shares={"3": 0.5, " 2": 0.3, "4": 0.1, "Three": 0.1}) as server:
        row = judged(server.url, samples=5)
    assert row["level"] == round((3 * 0.5 + 2 * 0.3 + 4 * 0.1) / 0.9, 6)
    assert row["level_method"] == "logprobs"
    assert [body.get("top_logprobs") for body in server.bodies] == [20, None]


def test_an_endpoint_that_refuses_them_is_asked_without_and_the_samples_make_the_level() -> None:
    says = iter(["4", "2", "3"])
    with judge_server(level=lambda _: next(says), refuses_logprobs=True) as server:
        row = judged(server.url, samples=3, temperature=1.0)
    assert (row["level"], row["level_method"]) == (3.0, "samples")
    assert [body.get("top_logprobs") for body in server.levels] == [20, 5, None, None, None]
    assert len({body["seed"] for body in server.levels[1:]}) == 3


def test_an_endpoint_that_passes_over_the_wish_makes_no_trouble() -> None:
    with judge_server(level="2") as server:
        row = judged(server.url)
    assert (row["level"], row["level_method"], len(server.levels)) == (2.0, "samples", 1)
