"""Rehearsal in bad weather: the real command as a process of its own, and its log beside a ledger."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.charges import Tally
from thousandfold.gen.errors import TeacherError
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import BudgetSettings, TeacherSettings
from thousandfold.gen.teachers import Ask, Message, Outcome, Sampling, make

from ._runs import COMMAND, environment

CARD = "facet: honest apology\ndomain: law — contracts\nkind: advice — what to do\nfault: user — their own doing"
WORDS = f"<card>\n{CARD}\n</card>\n<situation>\nSomeone missed a date.\n</situation>\nWrite it."
MODEL = "openai:rehearsal-teacher"


def questions(count: int) -> list[Ask]:
    return [Ask(MODEL, (Message("user", WORDS),), Sampling(), None, draw) for draw in range(count)]


@dataclass(frozen=True)
class Log:
    """The lines that a server wrote."""

    lines: Sequence[dict[str, Any]]

    def of(self, **fields: Any) -> list[dict[str, Any]]:
        return [line for line in self.lines if all(line[name] == value for name, value in fields.items())]

    @property
    def given(self) -> list[dict[str, Any]]:
        """Answers with status 200 that went out whole and can be kept: what a provider sends a bill for."""
        return [line for line in self.of(sent="whole") if line["answer"] in ("completion", "empty")]

    def tokens(self, name: str) -> int:
        return sum(line[name] or 0 for line in self.given)


@dataclass
class Server:
    """A rehearsal server as a process."""

    url: str
    process: subprocess.Popen[str]
    path: Path

    def log(self) -> Log:
        """All that it did; ends it."""
        self.process.terminate()
        assert self.process.wait(20) == 0
        with self.path.open(encoding="utf-8") as file:
            return Log(sorted(map(json.loads, file), key=lambda line: int(line["number"])))


@contextmanager
def rehearsing(folder: Path, faults: str, *options: str) -> Iterator[Server]:
    """`thousandfold rehearse --faults` with this schedule, on a free port."""
    (folder / "faults.toml").write_text(faults, encoding="utf-8")
    words = ["rehearse", "--faults", "faults.toml", "--log", "server.jsonl", *options]
    with subprocess.Popen(
        [COMMAND, *words], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.stderr and process.stderr.read()
            yield Server(url, process, folder / "server.jsonl")
        finally:
            process.kill()


@dataclass(frozen=True)
class Came:
    """What became of some asks."""

    outcomes: dict[str, Outcome]  # as they stand in the ledger
    tally: Tally
    trouble: TeacherError | None
    log: Log

    @property
    def failures(self) -> Counter[str]:
        return Counter(o.failure for o in self.outcomes.values() if o.failure)


def asked(folder: Path, url: str, asks: Sequence[Ask], **changes: Any) -> tuple[Tally, TeacherError | None]:
    """Puts `asks` to the server, through a ledger in `folder`; what a run does in each of its rooms."""
    concurrency = changes.pop("concurrency", 8)
    given = TeacherSettings(**{"timeout_seconds": 20.0, "attempts": 4, "deadline_seconds": 20.0, **changes})

    async def work() -> tuple[Tally, TeacherError | None]:
        teacher = make(f"{MODEL}@{url}", given, concurrency=concurrency)
        with Ledger(folder / "ledger.sqlite") as ledger:
            budget = Budget(BudgetSettings(), {}, ledger.spent())
            asker = Asker(ledger=ledger, teachers={MODEL: teacher}, budget=budget, concurrency=concurrency)
            try:
                await asker.answers(asks)
            except TeacherError as error:
                return asker.tally, error
            finally:
                await teacher.close()
            return asker.tally, None

    return asyncio.run(asyncio.wait_for(work(), 60))


def in_weather(folder: Path, faults: str, count: int = 40, *options: str, **changes: Any) -> Came:
    """`count` asks in this weather, and both books about it."""
    with rehearsing(folder, faults, *options) as server:
        tally, trouble = asked(folder, server.url, questions(count), **changes)
        log = server.log()
    return Came(kept(folder, questions(count)), tally, trouble, log)


def kept(folder: Path, asks: Sequence[Ask]) -> dict[str, Outcome]:
    with Ledger(folder / "ledger.sqlite", read_only=True) as ledger:
        return ledger.get_many([ask.id for ask in asks])


def books_agree(came: Came, asks: Sequence[Ask]) -> None:
    """Whatever the weather: what the server gave is in the ledger, once, and both count alike."""
    by_seed = {ask.request_seed: ask.id for ask in asks}
    given = Counter(by_seed[line["seed"]] for line in came.log.given)
    answered = {i for i, o in came.outcomes.items() if o.text is not None or o.failure == "empty"}
    assert set(given) == answered  # nothing that came is lost
    assert set(given.values()) <= {1}  # nothing is asked again that was answered
    assert came.tally.asked == len(came.outcomes)
    assert came.tally.failed == sum(came.failures.values())
    assert came.tally.prompt_tokens == came.log.tokens("prompt_tokens")
    assert came.tally.completion_tokens == came.log.tokens("completion_tokens")
