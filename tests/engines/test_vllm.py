"""vLLM on a CPU with a model that writes noise: the plumbing must hold, and the filters drop the noise and say why."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from thousandfold import gen
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import JudgeSettings, TeacherSettings
from thousandfold.gen.teachers import Ask, Message, Outcome, Sampling
from thousandfold.gen.teachers.engine import EngineTeacher

from .._asks import feed
from .._runs import RESPECT, copied
from .conftest import CONTEXT_TOKENS

GUIDANCE = {"backend": "guidance", "disable_any_whitespace": True}
ENGINE = {
    "enforce_eager": True,
    "gpu_memory_utilization": 0.15,  # on a CPU, of the machine's memory
    "max_model_len": CONTEXT_TOKENS,
    "max_num_seqs": 16,
    "structured_outputs_config": GUIDANCE,
}
SETTINGS = f"""max_tokens = 200
engine = {{ enforce_eager = true, gpu_memory_utilization = 0.15, max_model_len = {CONTEXT_TOKENS}, max_num_seqs = 16,\
 structured_outputs_config = {{ backend = "guidance", disable_any_whitespace = true }} }}
"""
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 20}},
    "required": ["word"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[EngineTeacher]:
    """One engine for the module: it takes longer to load than to answer."""
    teacher = EngineTeacher(str(tiny_model), settings=TeacherSettings(engine=ENGINE))
    yield teacher
    asyncio.run(teacher.close())


def question(words: str, draw: int = 0, schema: Any = None) -> Ask:
    return Ask("vllm:tiny-llama", (Message("user", words),), Sampling(max_tokens=40), schema, draw)


def answered(teacher: EngineTeacher, asks: list[Ask]) -> dict[str, Outcome]:
    async def gather() -> dict[str, Outcome]:
        return {outcome.ask_id: outcome async for outcome in teacher.answer(feed(asks))}

    return asyncio.run(gather())


def test_every_ask_has_a_seed_of_its_own_also_where_prompts_are_long(engine: EngineTeacher) -> None:
    asks = [question("What do I owe them? " * 150, draw) for draw in range(40)]
    found = answered(engine, asks)
    assert set(found) == {ask.id for ask in asks}
    assert all(outcome.text for outcome in found.values())
    assert len({outcome.text for outcome in found.values()}) == 40
    alone = answered(engine, asks[7:8])
    assert alone[asks[7].id].text == found[asks[7].id].text  # whoever stands beside it


def test_a_schema_is_enforced_and_usage_is_counted(engine: EngineTeacher) -> None:
    found = answered(engine, [question("A word.", draw, SCHEMA) for draw in range(8)])
    for outcome in found.values():
        assert outcome.text is not None
        assert outcome.text.startswith('{"word":"')
        assert outcome.usage.prompt_tokens
        assert 0 < (outcome.usage.completion_tokens or 0) <= 40


def test_a_prompt_that_is_too_long_is_that_asks_failure_alone(engine: EngineTeacher) -> None:
    long = question("What do I owe them? " * 5000)
    asks = [question("Hello."), long, question("Good day.")]
    found = answered(engine, asks)
    assert found[long.id].failure == "bad_request"
    assert [found[ask.id].failure for ask in (asks[0], asks[2])] == [None, None]


def noise_is_dropped(run: gen.Run, out: Path) -> None:
    """The books of a run in which nothing was worth keeping."""
    with Ledger(out / "ledger.sqlite", read_only=True) as ledger:
        spent = ledger.spent()
    assert spent.replies + spent.failures == run.summary["asked"] > 0
    assert spent.completion_tokens > 0
    assert run.exemplars.height == 0
    assert run.release is None
    assert run.summary["exit"] == 4  # quotas not met
    assert sum(run.funnel["dropped"].values()) == run.funnel["drafts"] > 0
    assert run.funnel["kept"] == 0
    again = gen.run(out.parent / "recipe", size=4, judge="none", out=out, offline=True)
    assert (again.summary["asked"], again.summary["replayed"]) == (0, run.summary["asked"])


def recipe_for(folder: Path, model: str) -> Path:
    recipe = copied(RESPECT, folder / "recipe")
    path = recipe / "recipe.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count("[teacher]\n") == text.count('model = "rehearsal"\n') == 1
    text = text.replace('model = "rehearsal"\n', f'model = "{model}"\n{SETTINGS}')
    path.write_text(f"{text}\n[run]\nmax_rounds = 2\n", encoding="utf-8")
    return recipe


def test_the_whole_recipe_in_process(tiny_model: Path, tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, f"vllm:{tiny_model}")
    run = gen.run(recipe, size=4, judge="none", out=tmp_path / "out")
    noise_is_dropped(run, tmp_path / "out")


def test_the_whole_recipe_through_vllms_own_server(served: str, tmp_path: Path) -> None:
    recipe = recipe_for(tmp_path, f"openai:tiny-llama@{served}")
    run = gen.run(recipe, size=4, judge="none", out=tmp_path / "out")
    noise_is_dropped(run, tmp_path / "out")


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of vLLM's server with the tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", str(tiny_model), "--served-model-name", "tiny-llama", "--host", "127.0.0.1"]
    words += ["--port", str(port)]
    words += ["--max-model-len", str(CONTEXT_TOKENS), "--max-num-seqs", "16", "--enforce-eager"]
    words += ["--no-enable-chunked-prefill", "--gpu-memory-utilization", "0.15"]
    words += ["--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}']
    # `vllm serve` would not start: the community build for CPUs is a distribution of another name.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + 300
            while not _is_up(port):
                with suppress(subprocess.TimeoutExpired):  # a server that ends is heard of at once
                    process.wait(0.5)
                    pytest.fail(f"the server ended:\n{log.read_text()[-3000:]}")
                assert time.monotonic() < until, log.read_text()[-3000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(30)


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_log_probabilities_are_given_with_a_level_and_sum_to_no_more_than_one(tiny_model: Path) -> None:
    judge = EngineTeacher(str(tiny_model), settings=JudgeSettings(engine=ENGINE))
    level = Ask("vllm:tiny-llama", (Message("user", "A digit."),), Sampling(0.0, 4), purpose="level")
    evidence = Ask("vllm:tiny-llama", (Message("user", "A word."),), Sampling(0.0, 4), purpose="evidence")
    try:
        found = answered(judge, [level, evidence])
    finally:
        asyncio.run(judge.close())
    assert found[evidence.id].logprobs is None
    first = found[level.id].logprobs
    assert first is not None
    assert len(first[0].alternatives) >= 20
    assert 0 < sum(math.exp(logprob) for _, logprob in first[0].alternatives) <= 1 + 1e-6
    assert first[0].logprob == max(logprob for _, logprob in first[0].alternatives)
