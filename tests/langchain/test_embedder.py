"""Any embedding of LangChain's in the place of the store's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from pydantic import BaseModel, SecretStr

from agent_session_core import Embedder, InvalidInput
from langchain_sessions import LangChainEmbedder


class Modelled(BaseModel, Embeddings):
    """An embedding with the attributes that providers' classes have."""

    model: str = "large-3"
    dimensions: int | None = None
    api_key: SecretStr = SecretStr("hunter2")
    rows: Any = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """What the test has laid down, or a vector for each text."""
        return self.rows if self.rows is not None else [[1.0, 2.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """As above."""
        return self.rows if self.rows is not None else [1.0, 2.0]


def test_it_gives_what_the_core_asks_for() -> None:
    """Float32, one row for each text, and the same vectors as the embedding itself."""
    embeddings = DeterministicFakeEmbedding(size=8)
    embedder = LangChainEmbedder(embeddings)
    assert isinstance(embedder, Embedder)
    rows = embedder.embed_documents(("one", "two"))
    assert rows.shape == (2, 8)
    assert rows.dtype == np.float32
    assert np.allclose(rows[0], embeddings.embed_query("one"))
    query = embedder.embed_query("one")
    assert query.shape == (8,)
    assert query.dtype == np.float32
    assert embedder.embed_documents([]).shape[0] == 0


def test_its_name_tells_vector_spaces_apart() -> None:
    """The name has the class, the model and the size, no secret, and can be given."""
    assert LangChainEmbedder(DeterministicFakeEmbedding(size=8)).name == "DeterministicFakeEmbedding:8"
    assert LangChainEmbedder(Modelled()).name == "Modelled:large-3"
    assert LangChainEmbedder(Modelled(dimensions=256)).name == "Modelled:large-3:256"
    assert LangChainEmbedder(Modelled(), name="mine").name == "mine"
    assert repr(LangChainEmbedder(Modelled())) == "LangChainEmbedder('Modelled:large-3')"


@pytest.mark.parametrize("rows", [[], [[1.0]], [1.0, 2.0], [[[1.0]], [[1.0]]]])
def test_vectors_of_a_wrong_shape_are_refused(rows: Any) -> None:
    """An embedding that gives too few vectors, or none that are vectors, is not believed."""
    with pytest.raises(ValueError, match="shape"):
        LangChainEmbedder(Modelled(rows=rows)).embed_documents(["one", "two"])


def test_a_query_of_a_wrong_shape_is_refused() -> None:
    """A question has one vector."""
    with pytest.raises(ValueError, match="shape"):
        LangChainEmbedder(Modelled(rows=[[1.0, 2.0]])).embed_query("one")


@pytest.mark.parametrize(("embeddings", "name"), [("model", None), (None, None), (Modelled(), ""), (Modelled(), 5)])
def test_odd_arguments_are_refused_by_name(embeddings: Any, name: Any) -> None:
    """Only LangChain embeddings, and only a name that names something."""
    with pytest.raises(InvalidInput, match=r"embeddings|name"):
        LangChainEmbedder(embeddings, name=name)
