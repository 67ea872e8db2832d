"""What the tests of whole runs have in common: the real command, a small recipe, a server, and what a release holds."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sysconfig
import threading
import tomllib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from thousandfold.gen import Ask, Outcome, Usage
from thousandfold.gen.teachers.rehearsal.server import COUNTS, Counts, application, listen

ROOT = Path(__file__).parent.parent
RESPECT = ROOT / "examples" / "respect"
COMMAND = Path(sysconfig.get_path("scripts")) / "thousandfold"


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change a run: our own options, keys, a screen's width."""
    strange = ("THOUSANDFOLD_", "OPENAI_", "PYTHONHASHSEED", "COLUMNS", "LINES", "TERM", "FORCE_COLOR", "NO_COLOR")
    return {k: v for k, v in os.environ.items() if not k.startswith(strange)} | more


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def unmeasured() -> dict[str, str]:
    """`environment` without coverage's, for a child that may not write where coverage keeps its data."""
    return {k: v for k, v in environment().items() if not k.startswith("COVERAGE_")}


def command(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, **options: Any) -> Done:
    """The installed `thousandfold` as a process of its own; no bug may show itself on the way."""
    done = subprocess.run(
        [COMMAND, *words], cwd=cwd, env=environment(**(env or {})), capture_output=True, check=False, **options
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in out + err, err
    return Done(done.returncode, out, err)


@contextmanager
def started(*words: str | Path, cwd: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; killed at the end if it still does."""
    process = subprocess.Popen(
        [COMMAND, *words], cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def content(release: Path | None, *folders: str) -> dict[str, bytes]:
    """path -> bytes of what the replay law is about."""
    assert release is not None
    found = {
        path.relative_to(release).as_posix(): path.read_bytes()
        for folder in folders or ("train", "heldout", "tables")
        for path in sorted((release / folder).rglob("*"))
        if path.is_file()
    }
    assert found, f"{release} holds nothing"
    return found


def release_in(out: Path) -> Path:
    """The release that LATEST names."""
    return out / "releases" / (out / "LATEST").read_text(encoding="utf-8").strip()


def copied(recipe: Path, folder: Path, **settings: Any) -> Path:
    """A copy of a recipe, with top-level settings of recipe.toml replaced."""
    shutil.copytree(recipe, folder)
    path = folder / "recipe.toml"
    text = path.read_text(encoding="utf-8")
    for key, value in settings.items():
        old = json.dumps(tomllib.loads(text)[key], ensure_ascii=False)
        assert text.count(f"\n{key} = {old}") == 1, key
        text = text.replace(f"\n{key} = {old}", f"\n{key} = {json.dumps(value)}")
    path.write_text(text, encoding="utf-8")
    return folder


class Scripted:
    """A teacher or judge that says what a function makes of each ask."""

    max_in_flight = 64

    def __init__(
        self, reply: Callable[[Ask], str | Outcome], *, model: str = "test:writer", family: str = "writers"
    ) -> None:
        self._reply = reply
        self._model, self._family = model, family
        self.asked: list[Ask] = []
        self.closed = 0

    @property
    def model(self) -> str:
        return self._model

    @property
    def family(self) -> str:
        return self._family

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        async for ask in asks:
            self.asked.append(ask)
            said = self._reply(ask)
            if isinstance(said, str):
                said = Outcome(ask_id=ask.id, text=said, finish_reason="stop", usage=Usage(100, 100))
            yield said
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.closed += 1


VOCABULARY = [
    "acorn",
    "anvil",
    "apron",
    "arrow",
    "attic",
    "bacon",
    "badge",
    "bagel",
    "barge",
    "basin",
    "beacon",
    "birch",
    "blanket",
    "boulder",
    "bramble",
    "bridge",
    "bucket",
    "burrow",
    "cabin",
    "candle",
    "canvas",
    "carpet",
    "cellar",
    "cherry",
    "chimney",
    "clover",
    "cobweb",
    "copper",
    "cradle",
    "crayon",
    "curtain",
    "dagger",
    "dairy",
    "ditch",
    "drawer",
    "easel",
    "ember",
    "fabric",
    "feather",
    "ferry",
    "fiddle",
    "flannel",
    "fossil",
    "fountain",
    "furnace",
    "garlic",
    "gravel",
    "hammock",
    "harbour",
    "hinge",
    "hollow",
    "honey",
    "inkwell",
    "jacket",
    "jigsaw",
    "kettle",
    "ladder",
    "lantern",
    "lattice",
    "ledger",
    "lemon",
    "linen",
]


def plain_reply(ask: Ask, *, words: str = "") -> str:
    """What a well-behaved writer says: a situation or an exemplar of its own for every ask, with `words` in it.

    Every answer begins and ends in words of its own, and is no other answer with its nouns exchanged.
    """
    said = [VOCABULARY[int(ask.id[i : i + 2], 16) % len(VOCABULARY)] for i in range(2, 34, 2)]
    mark = " ".join(said)
    if ask.purpose == "scenario":
        return json.dumps({"situations": [{"situation": f"{words} Somebody must decide about {mark}."}]})
    because = f"It says why {' '.join(said[:9])} matters here, so that the next case can be met as well."
    answer = f"{' '.join(said[:4]).capitalize()} {words} is right, and {mark} was not. {because} "
    answer += f"{' '.join(said[::-1]).capitalize()} is where we begin."
    messages = [{"role": "user", "content": f"{' '.join(said[5:])} {words}: what shall I do about {mark}?"}]
    return json.dumps(
        {"messages": [*messages, {"role": "assistant", "content": answer}], "because": because}, ensure_ascii=True
    )


@dataclass(frozen=True)
class Server:
    """Rehearsal over real HTTP, in a thread of this process, so that its own count can be read."""

    url: str
    counts: Counts

    @property
    def models(self) -> tuple[str, ...]:
        """Options that make a command ask this server."""
        return (
            "--teacher", f"openai:rehearsal-teacher@{self.url}", "--judge", f"openai:rehearsal-judge@{self.url}",
        )  # fmt: skip


@contextmanager
def serving(*, latency_seconds: float = 0.0) -> Iterator[Server]:
    """A server on a free port until the end of the block."""
    ready: list[Server] = []
    up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        app = application(latency_seconds=latency_seconds)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            ready.append(Server(await listen(runner, "127.0.0.1", 0), app[COUNTS]))
            up.set()
            await stop.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(20)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
