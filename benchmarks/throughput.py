"""Prints how fast asks get through: the whole drafting path of a run, beside bare clients, against one loopback server.

    python benchmarks/throughput.py                 narrow, wide and pace; about eight minutes
    python benchmarks/throughput.py --only wide     one of them
    python benchmarks/throughput.py --only memory   peak memory of a million asks; ten minutes more, 5 GB of disk
    python benchmarks/throughput.py --asks 4000     a quick look: start-up then weighs more
    python benchmarks/throughput.py --only narrow --peer distilabel=/path/to/venv/bin/python
                                                    others beside it: curator, data-designer, distilabel

The server answers each request after `--latency` seconds; the best that `at once` requests can reach is at once /
latency. Client and server share the machine, so on two cores each has about one. Each figure is of a process of its
own, and parts that are compared take turns. CPU is that of the client process alone, per ask, all in: render, send,
parse, ledger, tables.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # by the name that mypy has for it; a script sees what lies beside it
    from benchmarks import throughput_peers
else:
    import throughput_peers

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "examples" / "respect"
AT_ONCE = 256  # in the part on memory
SETTLED_SECONDS = 20.0  # after which the adaptive pace is measured
PRONOUNCEABLE = (0, 3, 5, 7, 11, 13, 17, 19)  # shifts that make eight unlike words of one number


# The server: as little work for an answer as Python allows, so that it is the client that is measured.


class _Protocol(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; refuses with 429 what is more than `takes` at once."""

    served = refused = in_flight = 0

    def __init__(self, latency: float, takes: int) -> None:
        self._latency, self._takes = latency, takes
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            found = re.search(rb"(?i)content-length: *(\d+)", self._read[:end])
            whole = end + 4 + int(found[1] if found else 0)
            if len(self._read) < whole:
                return
            body, self._read = self._read[end + 4 : whole], self._read[whole:]
            if body:
                self._take(body)
            else:  # GET: how it went
                counts = {"served": _Protocol.served, "refused": _Protocol.refused}
                self._send(b"200 OK", json.dumps(counts).encode())

    def _take(self, body: bytes) -> None:
        if _Protocol.in_flight >= self._takes:
            _Protocol.refused += 1
            self._send(b"429 Too Many Requests", b'{"error": {"message": "too many at once"}}')
            return
        _Protocol.in_flight += 1
        asyncio.get_running_loop().call_later(self._latency, self._answer, b'"scenario"' in body)

    def _answer(self, scenario: bool) -> None:
        _Protocol.in_flight -= 1
        _Protocol.served += 1
        self._send(b"200 OK", _completion(_Protocol.served, scenario=scenario))

    def _send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        if not self._transport.is_closing():
            self._transport.write(head + body)


def _completion(number: int, *, scenario: bool) -> bytes:
    words = " ".join(f"w{(number * 2654435761 >> shift) & 0xFFFF:x}" for shift in PRONOUNCEABLE)
    if scenario:
        said: Any = {"situations": [{"situation": f"Somebody must decide about {words}.", "probability": 0.1}]}
    else:
        because = f"It says why {words} matters here, so that the next case can be met."
        answer = f"You are right about {words[::-1]} and I was not. {because} Let us begin with {words} today. " * 5
        turns = [{"role": "user", "content": f"What about {words}?"}, {"role": "assistant", "content": answer.strip()}]
        said = {"messages": turns, "because": because}
    choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(said)}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 900, "completion_tokens": 300, "total_tokens": 1200}
    return json.dumps({"id": f"c{number}", "model": "m", "choices": [choice], "usage": usage}).encode()


async def _serve(latency: float, takes: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(latency, takes), "127.0.0.1", 0, backlog=4096)
    say(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    await server.serve_forever()


@contextmanager
def served(latency: float, takes: int = 10**9) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", str(latency), str(takes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


# The clients, each in a process of its own: {"asks", "seconds", "cpu_ms"}.


def drafting(url: str, asks: int, at_once: int) -> dict[str, Any]:
    """`gen.run` from the first situation asked for to the last draft in the table, ledger on disk."""
    from thousandfold import gen

    marks: dict[str, tuple[float, float]] = {}
    replies: list[tuple[float, int]] = []

    def on_event(event: gen.Event) -> None:
        if event.kind == "room":
            marks.setdefault(event.fields["name"], (time.perf_counter(), _cpu()))
        elif event.kind == "replies":
            replies.append((time.perf_counter(), event.fields["asked"]))

    with tempfile.TemporaryDirectory() as folder:
        recipe = _recipe_in(Path(folder))
        options: dict[str, Any] = {"concurrency": at_once or None, "judge": "none", "on_event": on_event}
        gen.run(recipe, size=asks // 2, out=Path(folder) / "out", teacher=f"openai:m@{url}", **options)
    (began, cpu_before), (ended, cpu_after) = marks["drafts"], marks["verdicts"]
    late = sum(count for at, count in replies if at >= began + SETTLED_SECONDS)
    return {
        "asks": sum(count for _, count in replies),
        "seconds": ended - began,
        "cpu_ms": 1000 * (cpu_after - cpu_before) / asks,
        "late_rate": late / max(1e-9, ended - began - SETTLED_SECONDS),
    }


def _recipe_in(folder: Path) -> Path:
    """The example without sealed prompts, a spare pool or further rounds, so that `size` drafts are `size` drafts."""
    import shutil

    recipe = shutil.copytree(RECIPE, folder / "recipe")
    text = (recipe / "recipe.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^pool = .*$", "pool = 1.0", re.sub(r"(?m)^share = .*$", "share = 0.0", text))
    (recipe / "recipe.toml").write_text(f"{text}\n[run]\nmax_rounds = 1\n", encoding="utf-8")
    return recipe


BODY = {"model": "m", "messages": [{"role": "user", "content": "word " * 700}], "max_tokens": 2048, "seed": 1}


def bare(url: str, asks: int, at_once: int, *, kind: str) -> dict[str, Any]:
    """The same number of requests by a client that does nothing else: no ledger, no parsing of what came."""

    async def run() -> tuple[float, float]:
        import aiohttp
        import httpx2
        import openai

        client = openai.AsyncOpenAI(
            base_url=url, api_key="none", max_retries=0, timeout=600, http_client=openai.DefaultAioHttpClient()
        )
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

        async def create() -> None:
            await client.chat.completions.create(**BODY)  # type: ignore[call-overload]

        async def post() -> None:
            await client.post("/chat/completions", body=BODY, cast_to=httpx2.Response)

        async def plain() -> None:
            async with session.post(f"{url}/chat/completions", json=BODY) as response:
                await response.json()

        call: Callable[[], Awaitable[None]] = {"create": create, "post": post, "aiohttp": plain}[kind]
        left = iter(range(asks))

        async def worker() -> None:
            for _ in left:
                await call()

        began, cpu = time.perf_counter(), _cpu()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        taken = time.perf_counter() - began, _cpu() - cpu
        await client.close()
        await session.close()
        return taken

    seconds, cpu = asyncio.run(run())
    return {"asks": asks, "seconds": seconds, "cpu_ms": 1000 * cpu / asks}


def planned(_: str, asks: int, at_once: int) -> dict[str, Any]:
    """So many planned contexts, each asked for its situations through the asker, ledger on disk, no server."""
    import polars as pl

    from thousandfold.gen.asking import Asker
    from thousandfold.gen.budget import Budget
    from thousandfold.gen.contexts import plan_contexts
    from thousandfold.gen.drafting import SituationsReply, Writer
    from thousandfold.gen.drafts import reasks_of
    from thousandfold.gen.ledger import Ledger, Spent
    from thousandfold.gen.recipe import load
    from thousandfold.gen.replies import read_json
    from thousandfold.gen.seeds import read_seeds
    from thousandfold.gen.takeover import answered

    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        recipe = load(_recipe_in(Path(folder)))
        seeds = read_seeds(recipe)
        few = plan_contexts(recipe, seeds, train=1000, heldout=0).drop("repeat")
        repeats = pl.DataFrame({"repeat": range(-(-asks // 1000))}, schema={"repeat": pl.UInt16})
        contexts = few.join(repeats, how="cross").head(asks).with_columns(draw=pl.lit(0, pl.UInt8))
        teacher = _AtOnce(at_once)
        budget = Budget(recipe.settings.budget, recipe.settings.prices, Spent())
        asker = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget)
        before, began, cpu = _peak_mb(), time.perf_counter(), _cpu()
        writer = Writer(seeds, recipe, teacher.model)
        rows = contexts.iter_rows(named=True)
        questions = (writer.question(row, "scenario", partial(writer.scenario_ask, row)) for row in rows)
        answers = asyncio.run(
            answered(questions, asker, lambda text: read_json(text, SituationsReply), reasks=reasks_of(recipe))
        )
        taken = time.perf_counter() - began, _cpu() - cpu
    return {
        "asks": len(answers.ids),
        "seconds": taken[0],
        "cpu_ms": 1000 * taken[1] / len(answers.ids),
        "before_mb": before,
        "peak_mb": _peak_mb(),
    }


class _AtOnce:
    """A teacher that answers every ask as it is taken."""

    model = "openai:m"
    family = "m"

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        reply = json.loads(_completion(1, scenario=True))
        self._text = reply["choices"][0]["message"]["content"]

    async def answer(self, asks: AsyncIterable[Any]) -> AsyncIterator[Any]:
        from thousandfold.gen.teachers.base import Outcome, Usage

        async for ask in asks:
            yield Outcome(ask_id=ask.id, text=self._text, finish_reason="stop", usage=Usage(900, 300))

    async def close(self) -> None:
        """Nothing is held open."""


MEMORY = "thousandfold, planned asks"
CLIENTS: dict[str, Callable[[str, int, int], dict[str, Any]]] = {
    "thousandfold, a whole run's drafts": drafting,
    "openai, chat.completions.create": lambda *given: bare(*given, kind="create"),
    "openai, post": lambda *given: bare(*given, kind="post"),
    "aiohttp": lambda *given: bare(*given, kind="aiohttp"),
}
COMPARED = tuple(CLIENTS)
CLIENTS[MEMORY] = planned


def _peak_mb() -> float:
    """Resident at the most, of the whole process; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(client: str, url: str, asks: int, at_once: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--client", client, url, str(asks), str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{client} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# The parts.


def compare(asked: argparse.Namespace, at_once: int, peers: Sequence[tuple[str, str]] = ()) -> None:
    ideal = at_once / asked.latency
    say(f"{at_once} at once, {asked.asks} asks, {asked.latency:g} s an answer: {ideal:.0f} asks/s would be ideal")
    say(f"  {'':36} {'asks/s':>7} {'of ideal':>8} {'CPU ms':>7}")
    found: dict[str, list[dict[str, Any]]] = {client: [] for client in COMPARED}
    unable: dict[str, str] = {}
    with served(asked.latency) as url:
        for _ in range(asked.runs):
            for client in COMPARED:
                found[client].append(measured(client, url, asked.asks, at_once))
            for name, python in peers:
                try:
                    run = peer(name, python, url, asked.asks, at_once, ideal=ideal)
                except throughput_peers.CannotRunError as error:
                    unable[name] = str(error)
                else:
                    found.setdefault(f"{name} {run['version']}", []).append(run)
    for client, runs in found.items():
        rate = statistics.median(run["asks"] / run["seconds"] for run in runs)
        cpu = statistics.median(run["cpu_ms"] for run in runs)
        say(f"  {client:36} {rate:7.0f} {rate / ideal:8.1%} {cpu:7.2f}")
    for name, why in unable.items():
        say(f"  {name} could not be measured: {why}")


def peer(name: str, python: str, url: str, asks: int, at_once: int, *, ideal: float) -> dict[str, Any]:
    """One run of a peer, given up at a twentieth of the ideal, and checked against what the server counted."""
    before = _counts(url)["served"]
    run = throughput_peers.measured(name, python, url, asks, at_once, seconds=60 + 20 * asks / ideal)
    if (answered := _counts(url)["served"] - before) < asks:
        raise throughput_peers.CannotRunError(f"the server answered {answered} of {asks} asks, so others were cached")
    return run


def _peer(text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    if name not in throughput_peers.PEERS or not python:
        names = ", ".join(throughput_peers.PEERS)
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=INTERPRETER with a NAME of {names}")
    return name, python


def pace(asked: argparse.Namespace) -> None:
    """No hint, and a server that takes 64 at once and refuses more."""
    ideal = 64 / asked.latency
    asks = int(ideal * 60)
    with served(asked.latency, takes=64) as url:
        run = measured("thousandfold, a whole run's drafts", url, asks, 0)
        counts = _counts(url)
    say(f"adaptive pace, no hint, a server that takes 64 at once and answers 429 beyond ({ideal:.0f} asks/s at best)")
    say(f"  after {SETTLED_SECONDS:g} s: {run['late_rate']:.0f} asks/s, {run['late_rate'] / ideal:.1%} of the best")
    share = counts["refused"] / (counts["served"] + counts["refused"])
    say(f"  refused in all: {counts['refused']} of {counts['served'] + counts['refused']} requests ({share:.2%})")


def memory(asked: argparse.Namespace) -> None:
    """Of a tenth of the asks and of all of them: what one more ask costs, beside its context's row."""
    say(f"planned asks through the asker, ledger on disk, {AT_ONCE} at once, a teacher in process that answers at once")
    say(f"  {'asks':>9} {'MB before':>9} {'MB at peak':>10} {'bytes an ask':>12} {'seconds':>8} {'CPU ms':>7}")
    for asks in (asked.planned // 10, asked.planned):
        run = measured(MEMORY, "", asks, AT_ONCE)
        grown = 1e6 * (run["peak_mb"] - run["before_mb"]) / asks
        figures = (
            f"{run['before_mb']:9.0f} {run['peak_mb']:10.0f} {grown:12.0f} {run['seconds']:8.1f} {run['cpu_ms']:7.2f}"
        )
        say(f"  {run['asks']:9,} {figures}")


def _counts(url: str) -> dict[str, int]:
    from urllib.request import urlopen

    with urlopen(f"{url}/counts") as response:
        found: dict[str, int] = json.load(response)
    return found


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "narrow": lambda asked: compare(asked, 256, asked.peer),
    "wide": lambda asked: compare(asked, 1024),
    "pace": pace,
    "memory": memory,
}
UNASKED = ("narrow", "wide", "pace")  # memory takes minutes more and gigabytes of disk


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast asks get through on this machine.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given again")
    parser.add_argument("--asks", type=int, default=20_000, help="of every client")
    parser.add_argument("--planned", type=int, default=1_000_000, help="asks whose memory is measured")
    parser.add_argument("--runs", type=int, default=1, help="of every client, in turn; medians are printed")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds that an answer takes")
    parser.add_argument(
        "--peer",
        action="append",
        type=_peer,
        default=[],
        metavar="NAME=INTERPRETER",
        help=f"beside ours in narrow, one of {', '.join(throughput_peers.PEERS)}; may be given again",
    )
    parser.add_argument("--serve", nargs=2, metavar=("LATENCY", "TAKES"), help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(_serve(float(asked.serve[0]), int(asked.serve[1])))
    elif asked.client:
        name, url, asks, at_once = asked.client
        say(json.dumps(CLIENTS[name](url, int(asks), int(at_once))))
    else:
        say(f"thousandfold {version('thousandfold')}, Python {platform.python_version()}, {platform.platform()}")
        say(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the start, {asked.runs} runs")
        for name in asked.only or UNASKED:
            say("")
            PARTS[name](asked)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
