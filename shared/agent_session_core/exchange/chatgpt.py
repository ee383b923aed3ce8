"""The conversations of a ChatGPT data export (``conversations.json``), as sessions with messages.

A conversation is a tree of nodes, since questions can be asked anew. The branch that was open last is read: from
``current_node`` upward by ``parent``, and turned round. Hidden and empty nodes are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TextIO

from agent_session_core._checks import MAX_ID, MAX_TITLE, shown
from agent_session_core.exchange._chatgpt_content import content_of
from agent_session_core.exchange._elements import Broken, elements
from agent_session_core.exchange.records import Entry, MessageEntry, Problem, SessionEntry
from agent_session_core.models import Message, Role, SessionRecord

__all__ = ["read_chatgpt"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}
_TITLE = re.compile(r'"title"\s*:\s*"([^"\\]{1,80})')
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # what an id or a title cannot hold


def read_chatgpt(file: TextIO) -> Iterator[Entry | Problem]:
    """The sessions and messages of ``file``, and a problem for each conversation or node that cannot be read.

    One conversation is held in memory at a time. A session takes the conversation's id and title, and the metadata
    ``{"source": "chatgpt"}``; a message the node's id and time, and the model's name as metadata.
    """
    for number, conversation in enumerate(elements(file), start=1):
        if isinstance(conversation, Broken):
            title = _TITLE.search(conversation.head)
            yield Problem(_where(number, title.group(1) if title else None), conversation.reason)
        elif not isinstance(conversation, dict):
            yield Problem(_where(number, None), f"expected an object, got {shown(conversation)}")
        else:
            yield from _conversation(conversation, number)


def _conversation(data: Mapping[str, Any], number: int) -> Iterator[Entry | Problem]:
    title = data.get("title") if isinstance(data.get("title"), str) else None
    where = _where(number, title)
    mapping = data.get("mapping")
    if not isinstance(mapping, dict):
        yield Problem(where, "has no mapping of nodes")
        return
    chain, problems = _branch(mapping, data.get("current_node"))
    for reason in problems:
        yield Problem(where, reason)
    begun = _moment(data.get("create_time"))
    session_id = _identifier(data.get("conversation_id") or data.get("id")) or f"chatgpt-{number}"
    messages: list[MessageEntry] = []
    at, open_calls = begun, dict[str, str]()
    for node_id, node in chain:
        try:
            message = _message(node_id, node, open_calls)
        except _Unreadable as error:
            yield Problem(f"{where}, node {shown(node_id)}", str(error))
            continue
        if message is not None:
            at = message.created_at or at
            messages.append(MessageEntry(session_id=session_id, message=_dated(message, at), where=where))
    begun = begun or (messages[0].message.created_at if messages else None) or _EPOCH
    record = SessionRecord(
        id=session_id,
        user_id=None,
        agent_id=None,
        title=_UNFIT.sub(" ", title)[:MAX_TITLE] if title else None,
        metadata={"source": "chatgpt"},
        status="active",
        revision=0,
        run=1,
        created_at=begun,
        updated_at=_moment(data.get("update_time")) or at or begun,
    )
    yield SessionEntry(record=record, where=where)
    yield from messages


class _Unreadable(ValueError):
    """A node that holds no message, though it should."""


def _branch(mapping: Mapping[str, Any], current: object) -> tuple[list[tuple[str, Mapping[str, Any]]], list[str]]:
    """The nodes from the root to ``current``, and what is wrong with the tree."""
    problems: list[str] = []
    if not isinstance(current, str) or current not in mapping:
        problems.append(f"current_node: {shown(current)} is no node; the newest branch is read")
        current = _newest_leaf(mapping)
    chain: list[tuple[str, Mapping[str, Any]]] = []
    seen: set[str] = set()
    while current is not None:
        if not isinstance(current, str) or not isinstance(mapping.get(current), dict):
            problems.append(f"node {shown(current)} is named as a parent and is not there; what follows it is read")
            break
        if current in seen:
            problems.append(f"node {shown(current)} is its own ancestor; what follows it is read")
            break
        seen.add(current)
        chain.append((current, mapping[current]))
        current = mapping[current].get("parent")
    return chain[::-1], problems


def _newest_leaf(mapping: Mapping[str, Any]) -> str | None:
    """The end of the newest branch: of the nodes that nothing follows, the one with the newest message.

    A message without a time counts as the oldest; of equals it is the last in the file. Where everything is followed
    by something, round a circle, any node will do.
    """
    nodes = {node_id: node for node_id, node in mapping.items() if isinstance(node, dict)}
    followed = {parent for node in nodes.values() if isinstance(parent := node.get("parent"), str)}
    leaves = [node_id for node_id in nodes if node_id not in followed]
    return max(reversed(leaves or list(nodes)), key=lambda node_id: _sent(nodes[node_id]), default=None)


def _sent(node: Mapping[str, Any]) -> datetime:
    """When the message of a node was sent; before all others where that is not told."""
    return _moment(_object(node.get("message")).get("create_time")) or datetime.min.replace(tzinfo=timezone.utc)


def _message(node_id: str, node: Mapping[str, Any], open_calls: dict[str, str]) -> Message | None:
    """The message of a node; None where there is nothing in it to be read.

    ``open_calls`` holds the newest call to each tool, by the tool's name: the export names no call in an answer.
    """
    data = node.get("message")
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _Unreadable(f"message: expected an object, got {shown(data)}")
    metadata, author = _object(data.get("metadata")), _object(data.get("author"))
    if metadata.get("is_visually_hidden_from_conversation") is True:
        return None
    role = _ROLES.get(author["role"]) if isinstance(author.get("role"), str) else None
    if role is None:
        raise _Unreadable(f"author.role: {shown(author.get('role'))} is not known")
    id_ = _identifier(data.get("id")) or _identifier(node_id)
    recipient = data.get("recipient")
    called = recipient if role == "assistant" and isinstance(recipient, str) and recipient not in ("", "all") else None
    content = content_of(data.get("content"), call_id=id_, called=called)
    if not content.parts:
        return None
    if called is not None and id_ is not None:
        open_calls[called.split(".")[0]] = id_
    name = author.get("name") if isinstance(author.get("name"), str) else None
    model = metadata.get("model_slug")
    return Message(
        role=role,
        text=content.text,
        parts=content.parts,
        id=id_,
        name=name,
        tool_call_id=open_calls.get((name or "").split(".")[0]) if role == "tool" else None,
        created_at=_moment(data.get("create_time")),
        metadata={"model": model} if isinstance(model, str) and role == "assistant" else {},
    )


def _object(value: object) -> Mapping[str, Any]:
    """``value``, where it is an object; else one without fields."""
    return value if isinstance(value, dict) else {}


def _dated(message: Message, at: datetime | None) -> Message:
    """``message`` with the time ``at``, where it has none of its own."""
    return message if message.created_at is not None or at is None else replace(message, created_at=at)


def _moment(seconds: object) -> datetime | None:
    """The time ``seconds`` after 1970, where that is a time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def _identifier(value: object) -> str | None:
    """``value``, where the store can take it for an id."""
    fits = isinstance(value, str) and 0 < len(value) <= MAX_ID and not _UNFIT.search(value)
    return str(value) if fits else None


def _where(number: int, title: str | None) -> str:
    return f"conversation {number}" + (f" ({title[:80]!a})" if title else "")
