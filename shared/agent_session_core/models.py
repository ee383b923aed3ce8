"""The records of a session: what callers hand in and get back. No input or output happens here.

Records are frozen: to change one, make another with :func:`dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput

__all__ = [
    "AudioPart",
    "DataPart",
    "ErasureReceipt",
    "Explanation",
    "FilePart",
    "FileReference",
    "ImagePart",
    "IndexReport",
    "Message",
    "Origin",
    "Page",
    "Part",
    "ReasoningPart",
    "Role",
    "SearchHit",
    "SearchResults",
    "SessionRecord",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "Usage",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Status: TypeAlias = Literal["active", "closed", "expired", "archived"]
TaskStatus: TypeAlias = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
ToolCallStatus: TypeAlias = Literal["requested", "running", "succeeded", "failed", "unknown"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
STATUSES: tuple[Status, ...] = ("active", "closed", "expired", "archived")
TASK_STATUSES: tuple[TaskStatus, ...] = ("pending", "in_progress", "completed", "failed", "cancelled")
TOOL_CALL_STATUSES: tuple[ToolCallStatus, ...] = ("requested", "running", "succeeded", "failed", "unknown")

PASSAGE_ORIGIN = "file"
"""The framework that an origin names where a message is a piece of a file's text; its version is the file's."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words to be read."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture: where it is (``url``) or what it is (``data``, base64), never both."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AudioPart:
    """A sound: where it is (``url``) or what it is (``data``, base64), never both."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class FilePart:
    """A document, video or other file: where it is (``url``) or what it is (``data``, base64), never both."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class DataPart:
    """Content of a kind that is neutral to no framework: any JSON value, with the name of its kind."""

    kind: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What a model thought before it answered; ``signature`` is the provider's seal on it."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A model's request to run a tool.

    ``arguments`` is a mapping, or the model's text where that is not a JSON object.
    """

    id: str | None
    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool answered, where one message carries several answers or answers among other content.

    A message of the role ``tool`` that is one answer says so with its ``tool_call_id`` instead.
    """

    tool_call_id: str
    text: str = ""
    parts: tuple[TextPart | ImagePart | AudioPart | FilePart | DataPart, ...] = ()
    name: str | None = None
    is_error: bool = False


Part: TypeAlias = TextPart | ImagePart | AudioPart | FilePart | DataPart | ReasoningPart | ToolCallPart | ToolResultPart


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from: the framework, its version, and the framework's own JSON of the message.

    ``data`` may be any JSON value; it is kept exactly and never interpreted outside that framework's adapter.

    ``adds`` is for adapters: whether ``data`` says more than the message's neutral fields do. ``Session.replace`` then
    takes the message for another than an equal one that a different framework wrote. It is not stored.
    """

    framework: str
    version: str
    data: Any = None
    adds: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a session, in no framework's shape.

    Args:
        role: who speaks: ``system``, ``user``, ``assistant`` or ``tool``.
        text: what a person reads and search finds. Without it, the texts of ``parts`` joined by line breaks.
        parts: the content in order. Without them, one ``TextPart`` of ``text`` (none where the text is empty).
        id: the message's id in its session; without one it is made when the message is stored.
        name: the name of the speaker or tool, as the model is told it.
        tool_call_id: for the role ``tool``: the call this message answers.
        author: the agent or person who wrote it, where several share a session.
        created_at: an aware datetime; without one, the time of storing. Its offset is kept.
        usage: tokens the model call took.
        metadata: JSON values of the caller's, by which messages can be filtered in a search.
        origin: the framework's own form of the message.
        is_error: for the role ``tool``: whether the call failed.
        seq: the message's place in its session, from 1; given by the store, as is ``run``.
        run: which run of the session it belongs to, from 1.

    Raises:
        InvalidInput: for an unknown role, or a text that is not a string.
    """

    role: Role
    text: str = ""
    parts: tuple[Part, ...] = ()
    id: str | None = None
    name: str | None = None
    tool_call_id: str | None = None
    author: str | None = None
    created_at: datetime | None = None
    usage: Usage | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    is_error: bool = False
    seq: int | None = None
    run: int | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InvalidInput(f"role: {shown(self.role)} is no role; use one of {', '.join(ROLES)}")
        if not isinstance(self.text, str):
            raise InvalidInput(f"text: expected a string, got {type(self.text).__name__}; use parts= for other content")
        if self.parts:
            try:
                object.__setattr__(self, "parts", tuple(self.parts))
                if not self.text:
                    object.__setattr__(self, "text", text_of(self.parts))
            except TypeError as error:
                raise InvalidInput(f"parts: {shown(self.parts)} are no parts ({error}); use TextPart(...)") from None
        elif self.text:
            object.__setattr__(self, "parts", (TextPart(self.text),))

    @classmethod
    def user(cls, text: str = "", **fields: Any) -> Message:
        """A message by the person (or program) the agent works for."""
        return cls(role="user", text=text, **fields)

    @classmethod
    def assistant(cls, text: str = "", **fields: Any) -> Message:
        """A message by the agent."""
        return cls(role="assistant", text=text, **fields)

    @classmethod
    def system(cls, text: str = "", **fields: Any) -> Message:
        """An instruction to the agent."""
        return cls(role="system", text=text, **fields)

    @classmethod
    def tool(cls, text: str = "", tool_call_id: str | None = None, **fields: Any) -> Message:
        """A tool's answer to the call ``tool_call_id``."""
        return cls(role="tool", text=text, tool_call_id=tool_call_id, **fields)


def text_of(parts: Sequence[Part]) -> str:
    """What a person reads of ``parts``: their texts, one after another, joined by line breaks."""
    texts = [part.text for part in parts if isinstance(part, TextPart | ToolResultPart)]
    return "\n".join(text for text in texts if text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What is known of a session at one moment; :class:`~agent_session_core.Session` is its live handle."""

    id: str
    user_id: str | None
    agent_id: str | None
    title: str | None
    metadata: Mapping[str, Any]
    status: Status
    revision: int
    run: int
    created_at: datetime
    updated_at: datetime
    idle_timeout: timedelta | None = None
    expires_at: datetime | None = None
    parent_id: str | None = None
    forked_from: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; ``next_cursor`` is None on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class FileReference:
    """A version of a session's file."""

    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message was found: the parts of its score, which add up to it. As text, one line for people.

    Attributes:
        score: the score that is shown, 0-1: the sum of ``words``, ``meaning``, ``name``, ``session`` and ``recency``.
        words: what each word of the question that was found contributes.
        nearby: those of the words that stand not in the message itself but in the two before it or in its date.
        meaning: for being nearer to the question than an average message of the scope.
        name: for being said by somebody whom the question names.
        session: for standing in a session whose best message has a good score.
        recency: for being new, where asked for.
        word_rank: its rank by words alone among all messages of the scope, from 1; None where no word was found.
        meaning_rank: its rank by meaning alone; None where meaning was not searched, or it has no vector.
        order: what the hits of one answer are ordered by: as the score, with the words' part measured by the best
            message's in place of the most that could be earned.
    """

    score: float
    words: Mapping[str, float]
    nearby: tuple[str, ...]
    meaning: float
    name: float
    session: float
    recency: float
    word_rank: int | None
    meaning_rank: int | None
    order: float

    def __str__(self) -> str:
        parts = [
            f"{value:.2f} {word!r}{' (nearby)' if word in self.nearby else ''}"
            for word, value in self.words.items()
            if value >= 0.005  # a word that most messages have tells nothing
        ]
        for part in ("meaning", "name", "session", "recency"):
            value = getattr(self, part)
            if value >= 0.005:
                parts.append(f"{value:.2f} {part}")
        ranks = ((self.word_rank, "by words"), (self.meaning_rank, "by meaning"))
        places = ", ".join(f"number {rank} {how}" for rank, how in ranks if rank is not None)
        return f"{self.score:.2f} = {' + '.join(parts) or 'nothing'} ({places or 'in no list'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A message that a search found, or a passage of a file.

    Attributes:
        message: the message as stored; or the passage, in a message's shape.
        file: where a passage was found: the file it stands in, else None.
        session_id: the session it stands in.
        session_title: that session's title.
        score: 0-1, with the same meaning in every call.
        neighbours: the messages around it, oldest first and without itself, where asked for.
        highlights: pieces of the text with the words that were asked for.
        duplicates: how many further messages with the same text this hit stands for.
        explanation: why it was found, where asked for.
    """

    message: Message
    session_id: str
    session_title: str | None
    score: float
    file: FileReference | None = None
    highlights: tuple[str, ...] = ()
    neighbours: tuple[Message, ...] = ()
    duplicates: int = 0
    explanation: Explanation | None = None


class SearchResults(Sequence[SearchHit]):
    """The hits of a search, best first: a sequence with what one must know about how they were found.

    Attributes:
        degraded: why the answer is less than it could be (the embedding or the index is out), or None.
        truncated: True where only the newest messages of a very large scope were searched.
    """

    __slots__ = ("_hits", "degraded", "truncated")

    def __init__(self, hits: Sequence[SearchHit] = (), *, degraded: str | None = None, truncated: bool = False) -> None:
        self._hits = tuple(hits)
        self.degraded = degraded
        self.truncated = truncated

    @overload
    def __getitem__(self, index: int) -> SearchHit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SearchHit, ...]: ...
    def __getitem__(self, index: int | slice) -> SearchHit | tuple[SearchHit, ...]:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __repr__(self) -> str:
        return f"SearchResults({len(self._hits)} hits, degraded={self.degraded!r}, truncated={self.truncated})"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """How store and index compare: counts of messages, and a sample of (session id, seq) of each kind.

    Attributes:
        missing: stored and not indexed, though nothing is pending for them.
        stale: indexed with other content than is stored.
        orphaned: indexed and not stored.
        rejected: set aside by the index, with the reason.
        pending: changes that the index has not been told yet: the next search brings them in, and they are no fault.
    """

    missing: int = 0
    stale: int = 0
    orphaned: int = 0
    rejected: int = 0
    pending: int = 0
    sample: tuple[tuple[str, int, str], ...] = ()

    @property
    def consistent(self) -> bool:
        """True where nothing is to be put right; changes that are pending come in by themselves."""
        return not (self.missing or self.stale or self.orphaned or self.rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """What an erasure removed; ``complete`` once the index has confirmed it too, and no reader keeps it in the log.

    Passages of text files, by which searches find them, are counted among the ``messages``.
    """

    id: str
    session_ids: tuple[str, ...]
    erased_at: datetime
    messages: int = 0
    state: int = 0
    files: int = 0
    tasks: int = 0
    tool_calls: int = 0
    nodes: int = 0
    complete: bool = False
