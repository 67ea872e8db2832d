"""vLLM in this process: a batch of asks at a time through `LLM.chat`. Imported only when a SPEC asks for it."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, TeacherError
from ..text import redacted
from .abilities import MOST_LOGPROBS, bare_schema, logprobs_for
from .base import Ask, Outcome, TokenLogprob, Usage
from .families import family_of

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

BATCH = 512
"""The most asks in one call: the engine schedules within it, and the ledger has them all when it returns."""

WAVES = 4
"""So many times what the engine runs at once go into one call: it stays full, and a crash loses little."""


class EngineTeacher:
    """Loads the model on the first ask. `settings.engine` holds further keyword arguments of `vllm.LLM`.

    Every request has a seed of its own, derived from the ask's id: with one seed for all, vLLM gives
    correlated text. On a CPU that forbids chunked prefill: vLLM draws a sample for a prompt that is not yet
    read to its end, throws it away and turns the request's generator back, which generators of a CPU cannot
    do ("CPU Generator does not use offset", vLLM 0.32). So prompts are read whole there, unless
    `settings.engine` says otherwise. Schemas are enforced by the engine where `structured` is auto or json_schema,
    and checked again when the reply is read. Of log-probabilities no more are asked for than `settings.engine` lets the
    engine give (`max_logprobs`).
    """

    def __init__(self, model: str, *, settings: TeacherSettings | JudgeSettings) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtraError(
                what=f"vllm:{model} needs vLLM, which is not installed",
                why="it is large and tied to the hardware, so it is an optional extra",
                do="pip install 'thousandfold[vllm]', or start a vLLM server anywhere and give"
                f" openai:{model}@http://HOST:8000/v1",
            )
        self._source = model
        self._settings = settings
        self._engine: Any = None
        self._batch = BATCH

    @property
    def model(self) -> str:
        # A local path is an address, not an identity; its last part names the model.
        name = Path(self._source).name if Path(self._source).exists() else self._source
        return f"vllm:{name}"

    @property
    def family(self) -> str:
        return family_of(self.model.removeprefix("vllm:"))

    @property
    def max_in_flight(self) -> int:
        return BATCH

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        waiting: asyncio.Queue[Ask | BaseException | None] = asyncio.Queue()

        async def feed() -> None:
            try:
                async for ask in asks:
                    waiting.put_nowait(ask)
                waiting.put_nowait(None)
            except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
                waiting.put_nowait(error)

        feeder = asyncio.create_task(feed())
        try:
            ended = False
            while not ended:
                batch: list[Ask] = []
                while len(batch) < self._batch and (not batch or not waiting.empty()):
                    item = await waiting.get()
                    if isinstance(item, BaseException):
                        raise item
                    if item is None:
                        ended = True
                        break
                    batch.append(item)
                    await asyncio.sleep(0)  # lets the feed hand over what is ready
                if batch:
                    for outcome in await asyncio.to_thread(self._run, batch):
                        yield outcome
        finally:
            feeder.cancel()

    async def close(self) -> None:
        self._engine = None

    def _run(self, asks: Sequence[Ask]) -> list[Outcome]:
        started = time.monotonic()
        try:
            engine = self._engine or self._load()
            outputs = engine.chat(
                [[{"role": m.role, "content": m.content} for m in ask.messages] for ask in asks],
                [self._sampling(ask) for ask in asks],
                use_tqdm=False,
            )
        except Exception as error:
            if self._engine is None or not _is_an_asks_own(error):
                raise self._failed(error) from error
            if len(asks) > 1:
                middle = len(asks) // 2
                return self._run(asks[:middle]) + self._run(asks[middle:])
            return [Outcome(ask_id=asks[0].id, failure="bad_request", detail=redacted(str(error)))]
        seconds = (time.monotonic() - started) / len(asks)
        return [_read(ask, output, seconds) for ask, output in zip(asks, outputs, strict=True)]

    def _failed(self, error: Exception) -> TeacherError:
        return TeacherError(
            what=f"{self.model} failed in vLLM: {type(error).__name__}: {str(error)[:300]}",
            why="an engine that stops cannot answer the rest",
            do="check [teacher] engine in recipe.toml (max_model_len, gpu_memory_utilization), then run again",
        )

    def _load(self) -> Any:
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # its talk would stand amid `--json`

        from vllm import LLM
        from vllm.platforms import current_platform

        ours = {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}
        with _out_of_sight("llvmlite.binding.ffi"):
            self._engine = LLM(model=self._source, **{**ours, **self._settings.engine})
        at_once = self._engine.llm_engine.vllm_config.scheduler_config.max_num_seqs
        self._batch = max(1, min(BATCH, WAVES * at_once))
        return self._engine

    def _sampling(self, ask: Ask) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        most = self._settings.engine.get("max_logprobs", MOST_LOGPROBS)
        count = logprobs_for(ask, self._settings.logprobs)
        enforced = ask.schema is not None and self._settings.structured in ("auto", "json_schema")
        return SamplingParams(
            temperature=1.0 if ask.sampling.temperature is None else ask.sampling.temperature,
            max_tokens=ask.sampling.max_tokens,
            seed=ask.request_seed,
            logprobs=(count if most < 0 else min(count, most)) or None,  # -1 lets it give all
            structured_outputs=StructuredOutputsParams(json=bare_schema(ask.schema or {})) if enforced else None,
        )


def _is_an_asks_own(error: Exception) -> bool:
    """Whether one ask is at fault, and not the engine: its prompt is too long, its schema cannot be enforced."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"ValueError", "VLLMValidationError"})  # the latter is no ValueError in vLLM 0.32


@contextmanager
def _out_of_sight(name: str) -> Iterator[None]:
    """While the engine loads, no module of this name is listed.

    On a CPU, vLLM 0.32 walks through the attributes of every loaded module and takes `__dict__` of each for a mapping;
    llvmlite's (our filters use numba) is a function of its library: "'_lib_fn_wrapper' object has no attribute 'get'".
    """
    module = sys.modules.pop(name, None)
    try:
        yield
    finally:
        if module is not None:
            sys.modules[name] = module


def _read(ask: Ask, output: Any, seconds: float) -> Outcome:
    first = output.outputs[0]
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "finish_reason": first.finish_reason,
        "usage": Usage(len(output.prompt_token_ids or ()), len(first.token_ids)),
        "seconds": seconds,
        "logprobs": logprobs_of(first.token_ids, first.logprobs),
    }
    if not first.text:
        lacks = f"the reply has no text (finish_reason {first.finish_reason})"
        return Outcome(failure="empty", detail=lacks, **common)
    return Outcome(text=first.text, **common)


def logprobs_of(
    token_ids: Sequence[int], places: Sequence[Mapping[int, Any]] | None
) -> tuple[TokenLogprob, ...] | None:
    """vLLM's `CompletionOutput.logprobs` (in each place token id -> `Logprob`), the likeliest first; None: none given.

    As over HTTP, the token that was written stands among the alternatives; what cannot be (minus infinity) does not.
    """
    if not places:
        return None
    found = []
    for token_id, place in zip(token_ids, places, strict=False):
        likeliest = sorted(place.items(), key=lambda known: (-known[1].logprob, known[0]))
        told = tuple((one.decoded_token or "", one.logprob) for _, one in likeliest if math.isfinite(one.logprob))
        written = place.get(token_id)
        if written is not None and math.isfinite(written.logprob):
            found.append(TokenLogprob(written.decoded_token or "", written.logprob, told))
    return tuple(found) or None
