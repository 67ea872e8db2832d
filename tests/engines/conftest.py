"""A model for vLLM made on the spot: two layers of random weights, a tokenizer trained on the seeds of the example."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .._runs import RESPECT

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # nothing is looked up
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: two seconds to start, not twenty
}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT_TOKENS = 8192


@pytest.fixture(scope="session", autouse=True)
def _engine_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a Llama that knows nothing: what it writes is noise, and all around it is real."""
    pytest.importorskip("vllm", reason="vLLM is not installed: `tox -e engines` does that")
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    end, padding, size = _tokenizer(folder)
    _weights(folder, end=end, padding=padding, size=size)
    return folder


def _tokenizer(folder: Path) -> tuple[int, int, int]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    texts = [path.read_text(encoding="utf-8") for path in sorted(RESPECT.glob("seeds/*.md"))]
    pairs.train_from_iterator(texts, trainer)
    words = PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token=special[2], pad_token=special[0])
    words.chat_template = TEMPLATE
    words.save_pretrained(folder)
    return words.eos_token_id, words.pad_token_id, len(words)


def _weights(folder: Path, *, end: int, padding: int, size: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=CONTEXT_TOKENS, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=end, pad_token_id=padding,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
