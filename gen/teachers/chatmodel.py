"""Any LangChain chat model as a teacher: `langchain:package.ClassName:MODEL`, or an object of one's own."""

from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ..errors import MissingExtraError, RecipeError, TeacherError
from ..text import redacted
from .base import Ask, Outcome, Usage
from .families import family_of
from .pace import DENIED, each, heals, retrying
from .readings import logprobs_of

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

_MESSAGES: dict[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}

_MODEL_FIELDS = ("model", "model_name", "model_id")
"""What the integrations call the model's name, the usual one first."""


class ChatModelTeacher:
    """Wraps a `BaseChatModel`; its identity is its class and model name, never its keys or address."""

    def __init__(self, chat: BaseChatModel, *, attempts: int = 6) -> None:
        self._chat = chat
        self._attempts = attempts
        names = (getattr(chat, field, None) for field in _MODEL_FIELDS)
        self._name = next((name for name in names if name and isinstance(name, str)), "")

    @property
    def model(self) -> str:
        kind = type(self._chat)
        return ":".join(filter(None, ("langchain", f"{kind.__module__}.{kind.__qualname__}", self._name)))

    @property
    def family(self) -> str:
        return family_of(self._name or type(self._chat).__qualname__)

    @property
    def max_in_flight(self) -> int:
        return 256

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        async with aclosing(each(asks, self._one)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def close(self) -> None:
        """LangChain models own their connections; there is nothing of ours to release."""

    async def _one(self, ask: Ask) -> Outcome:
        started = time.monotonic()
        attempts = 0
        messages = [_MESSAGES[m.role](content=m.content) for m in ask.messages]
        try:
            async for attempt in retrying(attempts=self._attempts, can_heal=_can_heal):
                with attempt:
                    attempts = attempt.retry_state.attempt_number
                    reply = await self._chat.ainvoke(messages)
        except Exception as error:  # every integration raises errors of its own
            words = redacted(f"{type(error).__name__}: {error}")
            status = getattr(error, "status_code", None)
            if isinstance(status, int) and 400 <= status < 500 and not (status in DENIED or heals(status)):
                seconds = time.monotonic() - started
                return Outcome(ask.id, failure="bad_request", detail=words, attempts=attempts, seconds=seconds)
            raise TeacherError(
                what=f"{self.model} failed after {attempts} tries: {words}",
                why="a chat model that cannot answer would fail a thousand times over",
                do="try it alone with `.invoke('hello')`, mend its key, address or arguments, then run again",
            ) from error
        return _read(ask, reply, attempts, time.monotonic() - started)


def from_class(class_path: str, model: str, *, settings: TeacherSettings | JudgeSettings) -> ChatModelTeacher:
    """An instance of `package.ClassName` for `model`, with the sampling of the recipe."""
    module_name, _, class_name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        package = (getattr(error, "name", None) or module_name).partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and find_spec(package) is None:
            raise MissingExtraError(
                what=f"langchain:{class_path} needs the package {package!r}, which is not installed",
                why="LangChain keeps each provider in a package of its own",
                do=f"pip install {package.replace('_', '-')}",
            ) from error
        raise RecipeError(
            what=f"langchain:{class_path} names no class: {error}",
            why="the form is langchain:package.ClassName:MODEL",
            do="give the import path of a chat model, for example langchain:langchain_openai.ChatOpenAI:MODEL",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, BaseChatModel)):
        raise RecipeError(
            what=f"langchain:{class_path} is not a chat model (a subclass of BaseChatModel)",
            why="only chat models answer conversations",
            do="name one, for example langchain_openai.ChatOpenAI",
        )
    known = set(kind.model_fields) | {field.alias for field in kind.model_fields.values() if field.alias}
    name = next((name for name in _MODEL_FIELDS if name in known), None)
    if name is None:
        raise RecipeError(
            what=f"langchain:{class_path} takes no model name, so {model!r} would be ignored",
            why="the model asked must be the one that the manifest names",
            do="make the object yourself and pass it to gen.teacher()",
        )
    # Its own retries stay on: only the integration knows which of its connection errors can heal.
    arguments: dict[str, Any] = {name: model, "max_tokens": settings.max_tokens}
    if settings.temperature is not None:
        arguments["temperature"] = settings.temperature
    if settings.logprobs:
        arguments |= {"logprobs": True, "top_logprobs": settings.logprobs}
    try:
        chat = kind(**{name: value for name, value in arguments.items() if name in known})
    except Exception as error:  # pydantic's, or the provider's own
        raise TeacherError(
            what=f"langchain:{class_path}:{model} cannot be made: {redacted(str(error))}",
            why="the model is made before anything is asked",
            do="set what it needs (usually an API key in the environment), or pass a ready object to gen.teacher()",
        ) from error
    return ChatModelTeacher(chat, attempts=settings.attempts)


def _can_heal(error: BaseException) -> bool:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return heals(status)
    return isinstance(error, (ConnectionError, TimeoutError))


def _read(ask: Ask, reply: BaseMessage, attempts: int, seconds: float) -> Outcome:
    usage = getattr(reply, "usage_metadata", None)  # some of LangChain's own fakes answer with another kind
    metadata = reply.response_metadata
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "usage": Usage(usage["input_tokens"], usage["output_tokens"]) if usage else Usage(),
        "served_model": _text(metadata.get("model_name")),
        "finish_reason": _text(metadata.get("finish_reason") or metadata.get("stop_reason")),
        "attempts": attempts,
        "seconds": seconds,
        "logprobs": logprobs_of(metadata.get("logprobs")),  # where the model was made with `logprobs=True`
    }
    text = reply.text
    if not text:
        return Outcome(failure="empty", detail="the reply has no text", **common)
    return Outcome(text=str(text), **common)


def _text(value: object) -> str | None:
    """Integrations put enums and objects of their own into the metadata."""
    return None if value is None else str(value)
