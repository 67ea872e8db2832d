"""A SPEC names who writes or judges; one that cannot be used is refused with what to write instead."""

from __future__ import annotations

import importlib.util

import pytest

from thousandfold.gen.errors import MissingExtraError, RecipeError
from thousandfold.gen.teachers import SPECS, make
from thousandfold.gen.teachers.base import Teacher
from thousandfold.gen.teachers.families import family_of

from .._asks import settings


@pytest.mark.parametrize(
    ("spec", "model", "family"),
    [
        ("rehearsal", "rehearsal-teacher", "rehearsal-teacher"),
        ("rehearsal:hollow=0.5", "rehearsal-teacher?hollow=0.5", "rehearsal-teacher"),
        ("openai:gpt-5-mini", "openai:gpt-5-mini", "gpt"),
        ("openai:gpt-5-mini@http://localhost:8000/v1", "openai:gpt-5-mini", "gpt"),
        ("openai:org/Qwen3-8B:free@https://x.org/api/v1", "openai:org/Qwen3-8B:free", "qwen"),
        ("openai:claude-sonnet@20260101@http://[::1]:8000/v1", "openai:claude-sonnet@20260101", "claude"),
        ("openai:@cf/meta/llama-3@https://x.org/v1", "openai:@cf/meta/llama-3", "llama"),
    ],
)
def test_a_spec_makes_the_teacher_it_names(spec: str, model: str, family: str) -> None:
    teacher = make(spec, settings())
    assert isinstance(teacher, Teacher)
    assert (teacher.model, teacher.family) == (model, family)


def test_the_judge_of_rehearsal_is_of_a_family_of_its_own() -> None:
    judge = make("rehearsal", settings(), judge=True)
    assert (judge.model, judge.family) == ("rehearsal-judge", "rehearsal-judge")


@pytest.mark.parametrize("spec", ["", "gpt-5", "openai", "openai:", "vllm:", "langchain:x.Y", "OpenAI:x"])
def test_a_spec_of_no_known_form_is_refused_with_all_the_forms(spec: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(spec, settings())
    assert caught.value.what == f"the model {spec!r} is of no known form"
    assert caught.value.do == f"use one of {SPECS}"


@pytest.mark.parametrize(
    "spec",
    [
        "openai:m@localhost:8000/v1",
        "openai:m@",
        "openai:m@ftp://x/v1",
        "openai:m@http:///v1",
        "openai:m@http://HOST:PORT/v1",
        "openai:m@http://[::1/v1",
        "openai:@http://localhost:8000/v1",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_asked_of_openai(spec: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(spec, settings())
    assert caught.value.what == f"the model {spec!r} is not MODEL, nor MODEL@ and an address"
    assert caught.value.why == "a model at an address that is not one would be asked of api.openai.com"
    assert caught.value.do == "write the address in full, for example openai:MODEL@http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    "address", ["http://user:pa55word@host/v1", "https://host/v1?key=pa55word", "http://h/v1#pa55word"]
)
def test_a_secret_in_the_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(f"openai:m@{address}", settings())
    assert caught.value.what == "the address of 'openai:m' holds a password or a query"
    assert "OPENAI_API_KEY" in caught.value.do
    assert "pa55word" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_that_is_not_installed_says_what_to_type() -> None:
    with pytest.raises(MissingExtraError) as caught:
        make("vllm:Qwen/Qwen3-0.6B", settings())
    assert caught.value.what == "vllm:Qwen/Qwen3-0.6B needs vLLM, which is not installed"
    assert caught.value.do.startswith("pip install 'thousandfold[vllm]'")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt-5-mini", "gpt"),
        ("ft:gpt-4o:org::id", "gpt"),
        ("o3-mini", "gpt"),
        ("openai/gpt-oss-20b", "gpt"),
        ("anthropic/claude-sonnet-5", "claude"),
        ("google/gemma-3-27b-it", "gemini"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("llama3:8b", "llama"),
        ("Qwen/QwQ-32B", "qwen"),
        ("deepseek-r1-distill-qwen-7b", "qwen"),
        ("mistralai/Ministral-8B", "mistral"),
        ("microsoft/Phi-4-mini", "phi"),
        ("phi3:mini", "phi"),
        ("zai/glm-5", "glm"),
        ("chatglm3-6b", "glm"),
        ("rehearsal-teacher?hollow=1", "rehearsal-teacher"),
        ("Acme/Own-Model", "own-model"),
        ("sophia-7b", "sophia-7b"),
    ],
)
def test_a_model_belongs_to_the_family_that_made_it(name: str, family: str) -> None:
    assert family_of(name) == family
