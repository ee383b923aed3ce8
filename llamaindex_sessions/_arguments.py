"""What callers hand to the chat stores and vector stores, checked: each error names the argument and the remedy."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.vector_stores.types import VectorStoreQuery

from agent_session_core import InvalidInput, Message
from llamaindex_sessions._messages import message_to_record

__all__ = ["archived_of", "archived_or_both", "check_query", "listed", "records_of", "strings", "whole"]


def archived_of(status: MessageStatus) -> bool:
    """The store's word for a status.

    Raises:
        InvalidInput: for a status that is not known.
    """
    if status not in tuple(MessageStatus):
        known = " or ".join(repr(one.value) for one in MessageStatus)
        raise InvalidInput(f"status: {reprlib.repr(status)} is not known; use {known}")
    return status == MessageStatus.ARCHIVED


def archived_or_both(status: MessageStatus | None) -> bool | None:
    """As :func:`archived_of`, where None means messages of any status."""
    return None if status is None else archived_of(status)


def records_of(messages: Sequence[ChatMessage]) -> list[Message]:
    """The stored form of messages.

    Raises:
        InvalidInput: when it is no list of messages, or one of them cannot be stored.
    """
    return [message_to_record(message) for message in listed(messages, "messages")]


def check_query(query: object) -> None:
    """Refuse what is no query of a vector store.

    Raises:
        InvalidInput: naming what it is.
    """
    if not isinstance(query, VectorStoreQuery):
        raise InvalidInput(f"query: expected a VectorStoreQuery, got {type(query).__name__}; make one of it")


def listed(values: Any, argument: str) -> list[Any]:
    """``values`` as a list.

    Raises:
        InvalidInput: for a single message or node, a string, or nothing at all.
    """
    if isinstance(values, str | BaseModel) or not isinstance(values, Iterable):
        raise InvalidInput(f"{argument}: expected a list, got {type(values).__name__}; write [...] around it")
    return list(values)


def strings(values: Any, argument: str) -> list[str] | None:
    """A list of ids, or None.

    Raises:
        InvalidInput: for a bare string, which would be taken for a list of letters, and for what is no string.
    """
    if values is None:
        return None
    ids = listed(values, argument)
    for value in ids:
        if not isinstance(value, str):
            raise InvalidInput(f"{argument}: expected strings, got {reprlib.repr(value)}; use str(...)")
    return ids


def whole(value: Any, argument: str) -> int:
    """A whole number.

    Raises:
        InvalidInput: when it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{argument}: expected a whole number, got {reprlib.repr(value)}; use int(...)")
    return value
