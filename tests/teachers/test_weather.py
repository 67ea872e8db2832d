"""Bad weather over real HTTP: each kind ends well or says what to do, and the server's log agrees with the ledger."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from thousandfold.gen.errors import TeacherError
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.teachers.rehearsal.server import COUNTS, application
from thousandfold.gen.teachers.troubles import Ending

from .._runs import RESPECT, command, started
from .._weather import MODEL, Came, asked, books_agree, in_weather, questions, rehearsing

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


def test_a_reply_without_choices_is_a_failure_that_was_paid_for_and_is_kept(tmp_path: Path) -> None:
    came = in_weather(tmp_path, '[[faults]]\nkind = "empty"\nrequests = [11, 15]', COUNT)
    assert came.trouble is None
    assert came.failures == {"empty": 5}
    assert came.tally.failed == len(came.log.of(answer="empty")) == 5
    books_agree(came, questions(COUNT))


def test_usage_that_is_missing_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    came = in_weather(tmp_path, '[[faults]]\nkind = "no_usage"\nrequests = [3, 4]', 10)
    silent = [o for o in came.outcomes.values() if o.usage.completion_tokens is None]
    assert len(silent) == 2
    with Ledger(tmp_path / "ledger.sqlite", read_only=True) as ledger:
        spent = ledger.spent()
    assert spent.counted_tokens > spent.prompt_tokens + spent.completion_tokens + 2 * 2048  # the worst case of both


def test_a_reply_in_another_models_name_says_so(tmp_path: Path) -> None:
    came = in_weather(tmp_path, '[[faults]]\nkind = "other_model"\nrequests = [3, 4]', 10)
    served = Counter(o.served_model for o in came.outcomes.values())
    assert served == {"rehearsal-teacher": 8, "another-model-2026": 2}


def test_a_key_that_expires_stops_the_run_and_what_was_in_flight_is_kept(tmp_path: Path) -> None:
    slow = '[[faults]]\nkind = "drip"\nrequests = [9, 14]\nfor_seconds = 1\n'
    faults = f'{slow}[[faults]]\nkind = "expired_key"\nrequests = [15, 15]'
    came = in_weather(tmp_path, faults, COUNT)
    assert came.trouble is not None
    assert "answered 401: " in came.trouble.what
    assert "The API key has expired." in came.trouble.what
    assert came.trouble.why == "a missing model or a refused key does not heal by waiting"
    assert "OPENAI_API_KEY" in came.trouble.do
    assert len(came.log.of(fault="drip", sent="whole")) == 6  # under way when the key was refused
    assert len(came.outcomes) == 14
    assert len(came.log.of(fault="expired_key")) == 1 + len(came.log.lines) - 15  # nobody else tried after that
    assert len(came.log.lines) < COUNT
    books_agree(came, questions(COUNT))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('kind = "hang"', "no whole reply within 0.3 seconds"),
        ('kind = "html"', "Bad Gateway"),
        ('kind = "500"\nretry_after = 0.01', "This is the weather that was asked for."),
        ('kind = "outage"\nfor_seconds = 60', "Cannot connect to host"),
    ],
    ids=["hangs", "HTML", "500", "outage"],
)
def test_weather_that_stays_stops_the_run_and_is_not_written_down_as_failed_drafts(
    tmp_path: Path, fault: str, words: str
) -> None:
    faults = f"[[faults]]\n{fault}\nrequests = [21, 1000]"
    came = in_weather(tmp_path, faults, COUNT, attempts=2, timeout_seconds=0.3, concurrency=4)
    assert came.trouble is not None
    assert came.trouble.what.startswith("openai:rehearsal-teacher at http://127.0.0.1:")
    assert "did not answer after 2 tries: " in came.trouble.what
    assert words in came.trouble.what
    assert came.trouble.why == "an outage would otherwise be written down as a thousand failed drafts"
    assert came.trouble.do == "start the server or wait for it, then run the same command again: it resumes"
    assert sum(came.failures.values()) <= 3
    books_agree(came, questions(COUNT))


def test_after_the_weather_the_same_asks_resume_and_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    faults = '[[faults]]\nkind = "503"\nrequests = [21, 1000]\nretry_after = 0.01'
    came = in_weather(tmp_path, faults, COUNT, attempts=2)
    assert came.trouble is not None
    (tmp_path / "server.jsonl").unlink()
    again = in_weather(tmp_path, "", COUNT)
    assert again.trouble is None
    assert len(again.log.lines) == COUNT - len(came.outcomes)
    assert again.tally.replayed == len(came.outcomes) == 20
    assert {line["seed"] for line in again.log.lines}.isdisjoint(line["seed"] for line in came.log.given)


# ── connections that are never made ──


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every wait before another try, as they come."""
    found: list[float] = []

    async def noted(_: Ending, seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(Ending, "nap", noted)
    return found


def test_a_certificate_that_nobody_signed_is_said_at_once(
    tmp_path: Path, certificate: Path, waits: list[float]
) -> None:
    async def run() -> TeacherError:
        runner = web.AppRunner(application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, tmp_path / "key.pem")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            return await asyncio.to_thread(lambda: trouble_at(tmp_path, url))
        finally:
            assert runner.app[COUNTS].requests == 0
            await runner.cleanup()

    trouble = asyncio.run(run())
    assert "cannot be connected to: " in trouble.what
    assert "certificate verify failed: self-signed certificate" in trouble.what
    assert trouble.why == "that does not heal by waiting, and nothing was sent"
    assert "SSL_CERT_FILE" in trouble.do
    assert waits == []


def test_a_host_of_no_known_name_is_said_at_once(tmp_path: Path, waits: list[float]) -> None:
    trouble = trouble_at(tmp_path, "http://no-such-host.invalid/v1")
    assert "openai:rehearsal-teacher at http://no-such-host.invalid/v1 cannot be connected to: " in trouble.what
    assert trouble.do.startswith("check the host's name in the address")
    assert waits == []


def trouble_at(folder: Path, url: str) -> TeacherError:
    _, trouble = asked(folder, url, questions(4), attempts=8, deadline_seconds=600.0)
    assert trouble is not None
    return trouble


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that signs itself, with its key beside it."""
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    try:
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate, and is not installed")
    return tmp_path / "cert.pem"


# ── a whole run ──


def test_a_run_that_is_killed_in_a_storm_of_429_resumes_and_asks_nothing_twice_but_what_was_in_flight(
    tmp_path: Path,
) -> None:
    storm = '[[faults]]\nkind = "429"\nrequests = [25, 80]\nretry_after = 0.2'
    with rehearsing(tmp_path, storm, "--latency", "0.02") as server:
        words = ("run", RESPECT, "--size", "6", "--concurrency", "8", "--out", "out", "--json")
        models = ("--teacher", f"{MODEL}@{server.url}", "--judge", f"openai:rehearsal-judge@{server.url}")
        with started(*words, *models, cwd=tmp_path) as first:
            wait_for(server.path, '"status": 429', 12, first)
            first.send_signal(signal.SIGKILL)
        before = len(server.path.read_text().splitlines())
        again = command(*words, *models, cwd=tmp_path)
        log = server.log()
    assert again.code == 0, again.err
    assert before > 30
    books = Counter(line["seed"] for line in log.given)
    twice = {seed for seed, times in books.items() if times > 1}
    assert len(twice) <= 8  # what was in flight when it was killed
    with Ledger(tmp_path / "out" / "ledger.sqlite", read_only=True) as ledger:
        spent = ledger.spent()
    assert spent.replies == len(books) == again.json["asked"] + again.json["replayed"]
    once = {line["seed"]: line for line in log.given}.values()
    assert spent.completion_tokens == sum(line["completion_tokens"] for line in once)
    assert command("verify", "out", cwd=tmp_path).code == 0


def test_a_run_in_mixed_weather_counts_what_its_server_counts(tmp_path: Path) -> None:
    kinds = ("429", "500", "reset", "html", "truncated", "wrong_type", "same_id", "other_model", "no_usage")
    faults = "\n".join(f'[[faults]]\nkind = "{kind}"\nshare = 0.03\nretry_after = 0.05' for kind in kinds)
    with rehearsing(tmp_path, f"seed = 5\n{faults}") as server:
        words = ("run", RESPECT, "--size", "6", "--concurrency", "8", "--out", "out", "--json")
        models = ("--teacher", f"{MODEL}@{server.url}", "--judge", f"openai:rehearsal-judge@{server.url}")
        done = command(*words, *models, cwd=tmp_path)
        log = server.log()
    assert done.code == 0, done.err
    assert len({line["fault"] for line in log.lines}) > 4
    assert done.json["asked"] == len(log.given) == len({line["seed"] for line in log.given})
    assert done.json["failed"] == 0
    assert done.json["tokens"] == log.tokens("prompt_tokens") + log.tokens("completion_tokens")


def wait_for(path: Path, words: str, times: int, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if path.exists() and path.read_text().count(words) >= times:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{words} did not come {times} times")
