"""Things in batches that are small in memory, however large a thing is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

__all__ = ["batches"]

MAX_ITEMS = 500
"""Things stored in one commit."""
MAX_CHARACTERS = 8 * 1024 * 1024
"""Characters of them after which a batch is full."""


def batches(sized: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """``sized`` things, each with its characters, in batches."""
    batch: list[T] = []
    characters = 0
    for item, size in sized:
        batch.append(item)
        characters += size
        if len(batch) == MAX_ITEMS or characters > MAX_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
