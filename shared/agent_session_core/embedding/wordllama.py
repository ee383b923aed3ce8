"""The embedding that needs no network: WordLlama's table of token vectors, read from the installed package."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agent_session_core.errors import IndexUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from agent_session_core.ports import Vectors

__all__ = ["WordLlamaEmbedder"]

_TABLE = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_TENSOR = "embedding.weight"

MOST_REMEMBERED = 50_000
"""Words whose tokens are remembered."""
LONGEST_REMEMBERED = 40


class WordLlamaEmbedder:
    """A text's vector is the mean of its tokens' vectors: 256 dimensions, tens of thousands of short texts a second.

    The table (32 MB in memory) is read when the first text is embedded, once in a process.
    """

    name = "wordllama/l2_supercat_256"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """The vectors of ``texts``: float32, shape (len(texts), 256). A text without words has a zero vector."""
        import numpy as np

        model = _load()
        vectors = np.zeros((len(texts), model.table.shape[1]), dtype=np.float32)
        for row, text in enumerate(texts):
            tokens = model.tokens(text)
            if tokens:
                vectors[row] = model.table[tokens].sum(axis=0) / len(tokens)
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (256,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


class _Model:
    """The tokenizer and the table. No token of this vocabulary goes across a space, so words are looked up singly."""

    def __init__(self, tokenizer: Tokenizer, table: NDArray[np.float32]) -> None:
        self.table = table
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """The token ids of a text."""
        ids: list[int] = []
        known = self._known
        for word in text.split():
            ids += known.get(word) or self._look_up(word)
        return ids

    def _look_up(self, word: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(word) <= LONGEST_REMEMBERED:
            if len(self._known) >= MOST_REMEMBERED:
                self._known = {}
            self._known[word] = found
        return found


@cache
def _load() -> _Model:
    """Read the package's two files; the package itself is not imported (it configures the root logger).

    Raises:
        IndexUnavailable: when the package or one of its files is missing or of another shape.
    """
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise IndexUnavailable("embedder: the package wordllama is missing; install it or give embedder= another")
    folder = Path(spec.origin).parent
    try:
        tokenizer = Tokenizer.from_str((folder / _TOKENIZER).read_text(encoding="utf-8"))
        table = _read_table(folder / _TABLE)
    except (OSError, ValueError, KeyError) as error:
        raise IndexUnavailable(
            f"embedder: wordllama {version('wordllama')} cannot be read ({error}); install another version of it"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return _Model(tokenizer, table)


def _read_table(path: Path) -> NDArray[np.float32]:
    """The one tensor of a safetensors file: eight bytes of length, a JSON header, then the numbers."""
    import numpy as np

    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:start])[_TENSOR]
    if entry["dtype"] != "F16":
        raise ValueError(f"its numbers are {entry['dtype']}, not F16")
    first, last = entry["data_offsets"]
    numbers = np.frombuffer(data[start + first : start + last], dtype="<f2")
    table: NDArray[np.float32] = numbers.reshape(entry["shape"]).astype(np.float32)
    return table
