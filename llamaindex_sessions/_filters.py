"""LlamaIndex's metadata filters as conditions of the core."""

from __future__ import annotations

from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters

from agent_session_core import InvalidInput
from agent_session_core.filters import MAX_DEPTH, And, Compare, Filter, Not, Or

__all__ = ["condition_of"]


def condition_of(filters: MetadataFilters | None) -> Filter | None:
    """What ``filters`` mean; None where they restrict nothing.

    ``NOT`` matches what none of its filters match, as in LlamaIndex. A list of filters that is empty restricts nothing,
    whatever its condition.

    Raises:
        InvalidInput: naming the filter that cannot be meant, or when they are nested too deeply.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidInput(f"filters: expected MetadataFilters, got {type(filters).__name__}; wrap it in one")
    return _joined(filters, 1) if filters.filters else None


def _joined(filters: MetadataFilters, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"filters: nested deeper than {MAX_DEPTH} levels; flatten them")
    parts = tuple(
        _compare(part) if isinstance(part, MetadataFilter) else _joined(part, depth + 1) for part in filters.filters
    )
    if not parts:
        return And(())
    if filters.condition == FilterCondition.OR:
        return Or(parts)
    return Not(Or(parts)) if filters.condition == FilterCondition.NOT else And(parts)


def _compare(part: MetadataFilter) -> Compare:
    return Compare(part.key, part.operator.value, part.value)
