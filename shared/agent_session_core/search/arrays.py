"""Columns that grow at the end. What stands in them never changes: whoever knows a beginning may keep reading it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Arrays", "Columns", "Sizes"]

Sizes = tuple[int, int, int]
"""How many messages, rows and words are in use."""


class Columns:
    """Arrays of one length, by name."""

    def __init__(self, **types: type[np.generic]) -> None:
        self.arrays: dict[str, NDArray[Any]] = {name: np.empty(0, dtype=dtype) for name, dtype in types.items()}
        self.used = 0

    def append(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Add values at the end of every column."""
        needed = self.used + len(next(iter(values.values())))
        for name, added in values.items():
            array = self.arrays[name]
            if self.used == 0:  # taken as it is: full, so that it grows into one of our own
                self.arrays[name] = added.astype(array.dtype, copy=False)
                continue
            if len(array) < needed:
                larger = np.empty((max(needed, len(array) * 3 // 2), *array.shape[1:]), dtype=array.dtype)
                larger[: self.used] = array[: self.used]
                self.arrays[name] = array = larger
            array[self.used : needed] = added
        self.used = needed


class Arrays:
    """The columns of a scope: its messages, the rows that are scored, and the rows' words.

    Args:
        dimensions: of the vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self.lock = threading.Lock()
        self.messages = Columns(
            id=np.int64, session=np.int32, role=np.int8, author=np.int32, speaker=np.int32, created_at=np.int64,
            digest=np.int64, first_row=np.int32, meant=np.bool_,
        )  # fmt: skip
        self.messages.arrays["vector"] = np.empty((0, dimensions), dtype=np.float32)
        self.rows = Columns(length=np.uint16)
        self.words = Columns(stem=np.uint32, row=np.int32, weight=np.uint16)

    @property
    def sizes(self) -> Sizes:
        """How much of them is in use."""
        return self.messages.used, self.rows.used, self.words.used

    @property
    def bytes(self) -> int:
        """The memory they take."""
        return sum(
            array.nbytes for columns in (self.messages, self.rows, self.words) for array in columns.arrays.values()
        )

    def beginning(self, sizes: Sizes) -> Arrays:
        """Others that begin with the first so many of these."""
        copy = Arrays(self.messages.arrays["vector"].shape[1])
        for mine, its, size in (
            (self.messages, copy.messages, sizes[0]),
            (self.rows, copy.rows, sizes[1]),
            (self.words, copy.words, sizes[2]),
        ):
            its.append({name: array[:size] for name, array in mine.arrays.items()})
        return copy
