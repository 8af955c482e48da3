"""The text side of the denoiser: a tokenizer with one token a word, and a small CLIP text encoder."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zo_dno.scenes.grammar import WORDS

LENGTH = 16
WIDTH = 96
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def build_tokenizer() -> Any:
    """Make the `CLIPTokenizer`: every word of the grammar is one token, and other text becomes bytes."""
    from transformers import CLIPTokenizer

    merges: Any = _merges()  # the types declare something else than the pairs that are needed
    symbols = _byte_symbols()
    vocabulary = [*symbols, *(symbol + _WORD_END for symbol in symbols), *(a + b for a, b in merges), _START, _END]
    numbered = {token: index for index, token in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=numbered, merges=merges, model_max_length=LENGTH)


def build_encoder(tokenizer: Any) -> Any:
    """Make an untrained `CLIPTextModel`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def tokenize(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    """Return the (n, LENGTH) token numbers of captions, as the pipeline computes them."""
    tokens = tokenizer(list(captions), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids = tokens.input_ids
    assert isinstance(ids, Tensor)
    return ids


def _merges() -> list[tuple[str, str]]:
    """Return the merges that join the letters of each known word from its start."""
    words = sorted(
        ["at", "with", "a", "an", *(word for known in WORDS.values() for word in known)], key=len, reverse=True
    )
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        pieces = [*word[:-1], word[-1] + _WORD_END]
        joined = pieces[0]
        for piece in pieces[1:]:
            merges[joined, piece] = None
            joined += piece
    return list(merges)


def _byte_symbols() -> list[str]:
    """Return the printable characters that byte-level tokenizers use for the 256 bytes."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + index) for index in range(len(hidden))]
