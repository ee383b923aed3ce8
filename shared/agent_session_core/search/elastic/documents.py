"""From messages to documents: pure, and final but for what stands before a message and the session's being archived."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from agent_session_core._json import decode_object
from agent_session_core.content import from_microseconds
from agent_session_core.search.elastic.mapping import VECTOR
from agent_session_core.search.elastic.metadata import FIELD, tokens_of
from agent_session_core.search.entries import digest_of
from agent_session_core.search.rows import chunks, clean, context, date_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_session_core.ports import Vectors
    from agent_session_core.search.entries import Source
    from agent_session_core.search.words import Words

__all__ = ["Owner", "count_of", "documents", "id_of", "tombstone", "written"]


class Owner(NamedTuple):
    """What every document says of its session.

    Attributes:
        session: its internal id.
        archived: whether only a search that asks for archived ones finds it.
    """

    session: int
    tenant: str
    user_id: str | None
    archived: bool


def id_of(session: int, seq: int, chunk: int) -> str:
    """The id of a document."""
    return f"{session}:{seq}:{chunk}"


def count_of(text: str) -> int:
    """How many documents a message with this text has: the same number for ever, since texts never change."""
    return len(chunks(clean(text)))


def documents(
    owner: Owner, source: Source, before: Sequence[str], metadata: str | None, words: Words
) -> list[dict[str, Any]]:
    """The documents of a message, but for its vector: one for each chunk of its text.

    Args:
        owner: its session.
        source: the message.
        before: the texts of the two messages before it, nearest first.
        metadata: its metadata as JSON text.
        words: the tokenizer that tells what was said twice.
    """
    text = clean(source.text)
    bodies = chunks(text)
    prev, prev2 = context(text, [clean(other) for other in before])
    common: dict[str, Any] = {
        "tenant": owner.tenant,
        "session": owner.session,
        "seq": source.seq,
        "role": source.role,
        "speaker": clean(source.speaker),
        "created_at": source.created_at,
        "length": len(source.text),
        "archived": owner.archived,
        "digest": digest_of(source, words.stems(bodies)),
        "date": date_words(from_microseconds(source.created_at, source.utc_offset)),
    }
    optional = {"user": owner.user_id, "author": source.author and clean(source.author), "prev": prev, "prev2": prev2}
    common |= {name: value for name, value in optional.items() if value}
    if metadata is not None:
        common[FIELD] = tokens_of(decode_object(metadata))
    made = [common | {"chunk": number, "body": body} for number, body in enumerate(bodies)]
    return [document | {"checksum": _checksum(document)} for document in made]


def written(document: dict[str, Any], vector: Vectors | None, *, embedded: bool) -> bytes:
    """A document as it is sent.

    Args:
        document: the document.
        vector: the message's vector, for its first chunk.
        embedded: False where the message should have a vector and has none yet.
    """
    with_vector = {} if vector is None else {VECTOR: vector}
    return orjson.dumps(document | {"embedded": embedded} | with_vector, option=orjson.OPT_SERIALIZE_NUMPY)


def tombstone(at: int, session: int | None = None) -> bytes:
    """What stands in the place of a document that is gone, so that nothing older comes back there.

    Args:
        at: the time, in microseconds.
        session: for the tombstone of a whole session.
    """
    of_session = {} if session is None else {"gone_session": session}
    return orjson.dumps({"gone_at": at} | of_session)


def _checksum(document: dict[str, Any]) -> int:
    digest = blake2b(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
