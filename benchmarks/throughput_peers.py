"""The peers of throughput.py: the same number of asks by Bespoke Curator, Data Designer or distilabel.

Each runs with the interpreter of an environment of its own, so this file needs nothing but the standard library and the
peer. A peer generates text the way its documentation shows for an OpenAI-compatible base URL, plain, with no schema,
and keeps what it keeps on disk in a fresh folder, which is also its home: no cache of an earlier run is found. Its own
limits are raised out of the way, which is said beside each of them; everything else is its default.

Measured is the whole call, from rows to the finished dataset, after a small one that loads and imports what the first
call of a process does. CPU is of the process and of those that it started and waited for.

    /path/to/venv/bin/python benchmarks/throughput_peers.py distilabel http://127.0.0.1:8000/v1 2000 256
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROMPT = "word " * 700  # as long as what the bare clients of throughput.py send; a number follows, so no two are equal
REPLY_TOKENS = 2048
UNLIMITED = 10**9
WARM = 20  # asks of the first call, which is not measured


class CannotRunError(Exception):
    """Why a peer has no figures, in one line."""


# In the peer's process: each takes (url, asks, at_once, folder) and returns how many texts its dataset has.


def curator(url: str, asks: int, at_once: int, folder: Path) -> int:
    if tables := find_spec("litellm"):  # its table of tokens, which is else downloaded, comes with a dependency
        tokenizers = Path(str(tables.origin)).parent / "litellm_core_utils" / "tokenizers"
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(tokenizers))
    llm = importlib.import_module("bespokelabs.curator").LLM(
        model_name="m",
        backend="openai",
        generation_params={"max_tokens": REPLY_TOKENS},
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_concurrent_requests": at_once,
            "max_requests_per_minute": UNLIMITED,  # raised: what it may send a minute
            "max_tokens_per_minute": UNLIMITED,
        },
    )
    found = llm([f"{PROMPT}{number}" for number in range(asks)], working_dir=str(folder)).dataset
    return sum(bool(text) for text in found["response"])


def data_designer(url: str, asks: int, at_once: int, folder: Path) -> int:
    config = importlib.import_module("data_designer.config")
    interface = importlib.import_module("data_designer.interface")
    parameters = config.ChatCompletionInferenceParams(max_tokens=REPLY_TOKENS, max_parallel_requests=at_once)
    model = config.ModelConfig(alias="m", model="m", provider="own", inference_parameters=parameters)
    builder = config.DataDesignerConfigBuilder(model_configs=[model])
    number = {"name": "number", "sampler_type": "uuid", "params": config.UUIDSamplerParams()}
    builder.add_column(config.SamplerColumnConfig(**number))
    builder.add_column(config.LLMTextColumnConfig(name="text", model_alias="m", prompt=PROMPT + "{{ number }}"))
    provider = config.ModelProvider(name="own", endpoint=url, provider_type="openai", api_key="none")
    designer = interface.DataDesigner(artifact_path=folder, model_providers=[provider])
    in_flight = max(1024, 4 * at_once)  # raised where its default would be less than four tasks for each request
    designer.set_run_config(
        config.RunConfig(max_in_flight_tasks=in_flight, otel_metrics_port=None)  # and no metrics: less work
    )
    found = designer.create(builder, num_records=asks).load_dataset()
    return sum(bool(text) for text in found["text"])


def distilabel(url: str, asks: int, at_once: int, folder: Path) -> int:
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line a request, which it stops for httpx by itself
    llms = importlib.import_module("distilabel.models.llms")
    steps = importlib.import_module("distilabel.steps")
    tasks = importlib.import_module("distilabel.steps.tasks")
    rows = [{"instruction": f"{PROMPT}{number}"} for number in range(asks)]
    with importlib.import_module("distilabel.pipeline").Pipeline(cache_dir=folder) as pipeline:
        llm = llms.OpenAILLM(
            model="m", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": REPLY_TOKENS}, timeout=600
        )
        # Raised from 50 to what may be in flight: it sends the rows of a batch at once, and batch after batch.
        load = steps.LoadDataFromDicts(data=rows, batch_size=at_once)
        load >> tasks.TextGeneration(llm=llm, input_batch_size=at_once)
    found = pipeline.run(use_cache=False)["default"]["train"]
    return sum(bool(text) for text in found["generation"])


PEERS: dict[str, tuple[str, Callable[[str, int, int, Path], int]]] = {
    "curator": ("bespokelabs-curator", curator),
    "data-designer": ("data-designer", data_designer),
    "distilabel": ("distilabel", distilabel),
}


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _figures(name: str, url: str, asks: int, at_once: int) -> dict[str, Any]:
    package, run = PEERS[name]
    home = Path.home()
    run(url, WARM, at_once, home / "warm")
    began, cpu = time.perf_counter(), _cpu()
    texts = run(url, asks, at_once, home / "measured")
    taken = time.perf_counter() - began, _cpu() - cpu
    if texts != asks:
        raise CannotRunError(f"{texts} of {asks} asks came back with a text")
    return {"asks": asks, "seconds": taken[0], "cpu_ms": 1000 * taken[1] / asks, "version": version(package)}


# In the benchmark's process.


def measured(name: str, python: str, url: str, asks: int, at_once: int, *, seconds: float) -> dict[str, Any]:
    """{"asks", "seconds", "cpu_ms", "version"} of one run of a peer; raises CannotRunError, also after `seconds`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        quiet = {"TELEMETRY_ENABLED": "0", "HF_HUB_OFFLINE": "1"}
        environment = {**os.environ, **quiet, "HOME": home, "XDG_CACHE_HOME": f"{home}/.cache"}
        environment.pop("PYTHONPATH", None)
        command = [python, str(Path(__file__).resolve()), name, url, str(asks), str(at_once)]
        options: dict[str, Any] = {"env": environment, "cwd": home, "text": True, "start_new_session": True}
        with open(f"{home}/stdout", "w+") as out, open(f"{home}/stderr", "w+") as err:
            try:
                process = subprocess.Popen(command, stdout=out, stderr=err, **options)
            except OSError as error:
                raise CannotRunError(f"{python}: {error.strerror}") from None
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise CannotRunError(f"not done after {seconds:.0f} s") from None
            finally:
                _end(process)
            said, why = ((file.seek(0), file.read())[1].strip().splitlines() for file in (out, err))
    if code:
        raise CannotRunError(why[-1] if why else f"ended with {code}")
    found: dict[str, Any] = json.loads(said[-1])
    return found


def _end(process: subprocess.Popen[str]) -> None:
    """With every process that it started: a pipeline that hangs leaves some."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def main() -> None:
    name, url, asks, at_once = sys.argv[1:]
    try:
        figures = _figures(name, url, int(asks), int(at_once))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise SystemExit(f"{type(error).__name__}: {lines[0][:200]}") from error
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
