"""The embedding that needs no network."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest

from agent_session_core.embedding import WordLlamaEmbedder
from agent_session_core.ports import Embedder
from agent_session_core.search.vectors import unit


def likeness(one: str, other: str) -> float:
    """The cosine of two texts."""
    first, second = unit(WordLlamaEmbedder().embed_documents([one, other]))
    return float(first @ second)


def test_it_is_an_embedder() -> None:
    """It has the port's shape: 256 dimensions, float32, one row a text, and questions in the same space."""
    embedder = WordLlamaEmbedder()
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed_documents(["a dog", "", "cat " * 10_000])
    assert vectors.shape == (3, 256)
    assert vectors.dtype == np.float32
    assert not vectors[1].any()
    assert np.array_equal(embedder.embed_query("a dog"), vectors[0])
    assert embedder.embed_documents([]).shape == (0, 256)


def test_alike_is_nearer() -> None:
    """Texts that mean the like are nearer than others."""
    assert likeness("We booked a flight to Lisbon.", "Our plane tickets to Portugal") > 0.2
    assert likeness("a puppy", "a dog") > likeness("a puppy", "the tax return")


@pytest.mark.parametrize("text", ["\n\t x", "日本語のテキスト", "🙂", "<s> </s> <unk>", "\u202e\u0000"])
def test_odd_texts(text: str) -> None:
    """Any text has a finite vector."""
    assert np.isfinite(WordLlamaEmbedder().embed_query(text)).all()


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is opened."""

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    WordLlamaEmbedder().embed_query("offline")


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """Importing and making it imports neither numpy nor the tokenizer nor the package of the table."""
    program = (
        "import sys; from agent_session_core.embedding import WordLlamaEmbedder; WordLlamaEmbedder(); "
        "print(sorted({'numpy', 'tokenizers', 'wordllama'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
