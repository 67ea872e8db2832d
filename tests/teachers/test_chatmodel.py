"""Any LangChain chat model as a teacher: what it says, what it cost, and what is said when it cannot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.language_models.chat_models import BaseChatModel, SimpleChatModel
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
    ParrotFakeChatModel,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from thousandfold.gen.errors import MissingExtraError, RecipeError, TeacherError, ThousandfoldError
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling, Teacher, TokenLogprob, Usage
from thousandfold.gen.teachers.chatmodel import ChatModelTeacher

from .._asks import ask, asks, feed, settings


def answers(teacher: Teacher, questions: list[Ask] | None = None) -> list[Outcome]:
    async def run() -> list[Outcome]:
        try:
            return [o async for o in teacher.answer(feed(questions or [ask()]))]
        finally:
            await teacher.close()

    return asyncio.run(asyncio.wait_for(run(), 20))


class Echo(SimpleChatModel):
    """Says what it was made with and what it heard; a class as an integration writes it."""

    model_id: str = Field(alias="model")
    max_tokens: int = 1
    temperature: float = 1.0

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _call(self, messages: list[BaseMessage], *_: Any, **__: Any) -> str:
        heard = "|".join(f"{m.type}:{m.text}" for m in messages)
        return f"{self.model_id} {self.max_tokens} {self.temperature} {heard}"


class StatusError(Exception):
    """An error of a provider, with the HTTP status as the clients of OpenAI, Anthropic and others carry it."""

    def __init__(self, status_code: int, words: str) -> None:
        super().__init__(words)
        self.status_code = status_code


class Failing(BaseChatModel):
    """Raises what it is told to, one after the other, and then answers."""

    errors: list[Any]
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "failing"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return FakeListChatModel(responses=["At last."])._generate(messages)


class Unready(Echo):
    """Cannot be made without a key."""

    api_key: str


class Nameless(SimpleChatModel):
    """Takes no model name."""

    _llm_type: ClassVar[str] = "nameless"
    _call = Echo._call


def spec_of(kind: type, model: str = "echo-1") -> str:
    assert getattr(sys.modules[kind.__module__], kind.__name__) is kind
    return f"langchain:{kind.__module__}.{kind.__name__}:{model}"


# ── what it says ──


def test_each_ask_is_answered_with_its_own_reply() -> None:
    outcomes = answers(ChatModelTeacher(ParrotFakeChatModel()), asks(50))
    assert {o.ask_id: o.text for o in outcomes} == {a.id: a.messages[0].content for a in asks(50)}


def test_roles_and_words_arrive_as_they_are() -> None:
    text = "“q” {x} {{y}} &amp; \\ 🙂 <b>"
    talk = (Message("system", "S"), Message("user", text), Message("assistant", "A"), Message("user", "again"))
    said = answers(make(spec_of(Echo), settings(max_tokens=77, temperature=0.25)), [Ask("m", talk, Sampling())])
    assert said[0].text == f"echo-1 77 0.25 system:S|human:{text}|ai:A|human:again"


def test_usage_and_metadata_of_the_message_are_kept() -> None:
    message = AIMessage(
        "Yes.",
        usage_metadata={"input_tokens": 11, "output_tokens": 3, "total_tokens": 14},
        response_metadata={"model_name": "served-2026", "finish_reason": "stop"},
    )
    outcome = answers(ChatModelTeacher(FakeMessagesListChatModel(responses=[message])))[0]
    assert (outcome.text, outcome.usage) == ("Yes.", Usage(11, 3))
    assert (outcome.served_model, outcome.finish_reason, outcome.attempts) == ("served-2026", "stop", 1)


def test_a_reply_without_usage_has_an_unknown_one() -> None:
    outcome = answers(ChatModelTeacher(FakeListChatModel(responses=["Hi"])))[0]
    assert (outcome.text, outcome.usage, outcome.finish_reason) == ("Hi", Usage(), None)


def test_content_in_blocks_is_read_as_its_text() -> None:
    blocks = AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "One."}, "Two."])
    outcome = answers(ChatModelTeacher(FakeMessagesListChatModel(responses=[blocks])))[0]
    assert outcome.text == "One.Two."
    assert type(outcome.text) is str


def test_a_generator_of_messages_is_a_teacher_too() -> None:
    def messages() -> Iterator[AIMessage | str]:
        yield "First."
        yield AIMessage("Second.", response_metadata={"stop_reason": "end_turn"})

    outcomes = answers(ChatModelTeacher(GenericFakeChatModel(messages=messages())), asks(2))
    assert sorted((o.text, o.finish_reason) for o in outcomes if o.text) == [
        ("First.", None),
        ("Second.", "end_turn"),
    ]


def test_a_reply_without_text_is_a_failure_that_was_paid_for() -> None:
    empty = AIMessage("", usage_metadata={"input_tokens": 11, "output_tokens": 100, "total_tokens": 111})
    outcome = answers(ChatModelTeacher(FakeMessagesListChatModel(responses=[empty])))[0]
    assert (outcome.failure, outcome.detail, outcome.usage) == ("empty", "the reply has no text", Usage(11, 100))


# ── who it is ──


def test_its_identity_is_its_class_and_model_name() -> None:
    teacher = make(spec_of(Echo, "claude-sonnet-5"), settings())
    assert teacher.model == f"langchain:{Echo.__module__}.Echo:claude-sonnet-5"
    assert teacher.family == "claude"
    own = ChatModelTeacher(FakeListChatModel(responses=["x"]))
    assert own.model == "langchain:langchain_core.language_models.fake_chat_models.FakeListChatModel"
    assert own.family == "fakelistchatmodel"


def test_a_model_name_may_hold_colons() -> None:
    assert make(spec_of(Echo, "anthropic.claude-v1:0"), settings()).model.endswith(".Echo:anthropic.claude-v1:0")


def test_an_unset_temperature_is_left_to_the_class() -> None:
    assert (answers(make(spec_of(Echo), settings(max_tokens=16)))[0].text or "").startswith("echo-1 16 1.0 ")


# ── what fails ──


@pytest.mark.parametrize("error", [StatusError(429, "slow down"), StatusError(503, "x"), ConnectionResetError("gone")])
def test_what_can_heal_is_tried_again(error: Exception) -> None:
    failing = Failing(errors=[error])
    outcome = answers(ChatModelTeacher(failing, attempts=2))[0]
    assert (outcome.text, outcome.attempts, failing.calls) == ("At last.", 2, 2)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_its_asks_own_failure(status: int) -> None:
    failing = Failing(errors=[StatusError(status, "too long, key sk-abcdef123456")])
    outcomes = answers(ChatModelTeacher(failing), asks(3))
    assert sorted(o.failure or "" for o in outcomes) == ["", "", "bad_request"]
    assert [o.detail for o in outcomes if o.failure] == ["StatusError: too long, key sk-[redacted]"]
    assert failing.calls == 3


@pytest.mark.parametrize(
    ("error", "tries"),
    [(StatusError(401, "bad key sk-abcdef123456"), 1), (StatusError(404, "none"), 1), (StatusError(500, "down"), 2),
     (KeyError("usage"), 1), (TimeoutError("slow"), 2)],
)  # fmt: skip
def test_what_does_not_heal_stops_the_run_with_its_words(error: Exception, tries: int) -> None:
    failing = Failing(errors=[error] * 5)
    with pytest.raises(TeacherError) as caught:
        answers(ChatModelTeacher(failing, attempts=2))
    assert failing.calls == tries
    words = f"{type(error).__name__}: {error}".replace("abcdef123456", "[redacted]")
    model = f"langchain:{Failing.__module__}.Failing"
    assert caught.value.what == f"{model} failed after {tries} tries: {words}"
    assert caught.value.do.startswith("try it alone with `.invoke('hello')`")


# ── specs that name no chat model ──


def refused(spec: str) -> ThousandfoldError:
    with pytest.raises(ThousandfoldError) as caught:
        make(spec, settings())
    return caught.value


def test_a_package_that_is_not_installed_is_named_with_its_pip_command() -> None:
    error = refused("langchain:langchain_of_nobody.chat.ChatNobody:m")
    assert isinstance(error, MissingExtraError)
    assert error.what == (
        "langchain:langchain_of_nobody.chat.ChatNobody needs the package 'langchain_of_nobody', which is not installed"
    )
    assert error.do == "pip install langchain-of-nobody"
    assert error.exit_code == 2


def test_a_package_that_misses_another_names_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_chat_package.py").write_text("import sdk_of_nobody\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert refused("langchain:own_chat_package.Chat:m").do == "pip install sdk-of-nobody"


def test_a_package_that_breaks_on_import_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_chat_package.py").write_text("raise ImportError('needs libfoo 3')\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = refused("langchain:broken_chat_package.Chat:m")
    assert (type(error), error.what) == (
        RecipeError,
        "langchain:broken_chat_package.Chat names no class: needs libfoo 3",
    )


@pytest.mark.parametrize(
    "path",
    ["langchain_core.ChatNobody", "langchain_core.no_such_module.Chat", "Chat", ".Chat", ".a.Chat", "langchain_core."],
)
def test_a_path_that_names_no_class_is_refused(path: str) -> None:
    error = refused(f"langchain:{path}:m")
    assert type(error) is RecipeError
    assert error.what.startswith(f"langchain:{path} names no class: ")
    assert error.do == "give the import path of a chat model, for example langchain:langchain_openai.ChatOpenAI:MODEL"


@pytest.mark.parametrize("path", ["pathlib.Path", "langchain_core.messages.AIMessage", "json.dumps"])
def test_a_class_that_is_no_chat_model_is_refused(path: str) -> None:
    error = refused(f"langchain:{path}:m")
    assert error.what == f"langchain:{path} is not a chat model (a subclass of BaseChatModel)"
    assert error.do == "name one, for example langchain_openai.ChatOpenAI"


def test_a_class_that_would_ignore_the_model_is_refused() -> None:
    error = refused(spec_of(Nameless, "gpt-5"))
    assert error.what == f"langchain:{Nameless.__module__}.Nameless takes no model name, so 'gpt-5' would be ignored"
    assert error.do == "make the object yourself and pass it to gen.teacher()"


def test_a_class_that_cannot_be_made_says_what_it_needs() -> None:
    error = refused(spec_of(Unready))
    assert isinstance(error, TeacherError)
    assert error.what.startswith(f"langchain:{Unready.__module__}.Unready:echo-1 cannot be made: 1 validation error")
    assert "api_key" in error.what
    assert "API key in the environment" in error.do


def test_log_probabilities_of_an_integration_are_kept() -> None:
    content = [{"token": "3", "logprob": -0.5, "top_logprobs": [{"token": "3", "logprob": -0.5}]}]
    said = AIMessage(content="3", response_metadata={"logprobs": {"content": content}})
    [outcome] = answers(ChatModelTeacher(FakeMessagesListChatModel(responses=[said])))
    assert outcome.logprobs == (TokenLogprob("3", -0.5, (("3", -0.5),)),)
    [without] = answers(ChatModelTeacher(FakeMessagesListChatModel(responses=[AIMessage(content="3")])))
    assert without.logprobs is None
