"""Conditions on metadata, as exact tokens of one keyword field.

Every entry of a message's metadata becomes tokens: its key, a letter for what is said of it, and a value. A number is
written so that the order of the tokens is the order of the numbers, exactly. A condition is then a question for tokens,
for a range of them, or for a piece of one, and means what it means in :mod:`agent_session_core.filters`.

What is too long for a token cannot be decided by the index. A query is therefore either wide (it lets through
everything that may match) or narrow (only what surely does), and a search takes the wide one: whoever reads the
messages decides by :func:`agent_session_core.filters.matches`. A condition that asks for what is too long, or for very
many pieces of text, is rough: its wide query lets much through, and who asks it looks at more of what comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias

from agent_session_core.filters import MAX_KEY, ORDERING, And, Compare, Filter, Not, Or, compares

__all__ = ["FIELD", "is_rough", "query_of", "tokens_of"]

FIELD = "metadata"
LONGEST = 2_000
"""Characters of a text, digits of a number, that are kept as they are; what is longer is known by its hash."""
LONGEST_KEY = 100
"""Bytes of a key that is kept as it is; a longer one is known by its hash."""
LONGEST_PIECE = 100
"""Bytes of a piece of text that the index looks for: Elasticsearch refuses patterns of about a thousand states."""
LONGEST_BOUND = 850
"""Bytes of a text or number that others are compared with in order, for the same reason; no float has as many."""
MOST_PIECES = 50
"""Pieces of text that one condition makes the index look for, each by going through the tokens of a key."""

_END = "\0"  # of a key; no key or value that can be asked for holds it
_PRESENT, _EMPTY, _TEXT = "p", "z", "s"  # not null; "" or []; any text
_VALUE, _LOWER, _ELEMENT, _KEY, _LIST, _LONG = "v", "l", "e", "k", "w", "x"
_TEXT_VALUE = _VALUE + "t"
_NUMBER_VALUE = _VALUE + "n"
_EXPONENTS = 500_000
_LAST = "\U0010ffff"  # comes after every character

Query: TypeAlias = "dict[str, Any]"
_NOTHING: Query = {"match_none": {}}


def tokens_of(metadata: Mapping[str, Any]) -> list[str]:
    """The tokens of a message's metadata."""
    return [
        _prefix(key) + token
        for key, value in metadata.items()
        if value is not None and len(key) <= MAX_KEY and _clean(key) == key and _END not in key  # else never asked for
        for token in dict.fromkeys(_tokens(value))
    ]


def query_of(condition: Filter, *, wide: bool = True) -> Query:
    """The query for what meets ``condition``: with ``wide`` all that may, else what surely does."""
    return _query(condition, wide, looks=_count_pieces(condition) <= MOST_PIECES)


def is_rough(condition: Filter) -> bool:
    """Whether the wide query for ``condition`` may let through much that does not meet it."""
    return (
        _count_pieces(condition) > MOST_PIECES
        or any(len(piece.encode()) > LONGEST_PIECE for one in compares(condition) for piece in _pieces(one))
        or any(
            isinstance(one.value, str) and len(one.value.encode()) > LONGEST_BOUND - LONGEST_KEY
            for one in compares(condition)
            if one.operator in ORDERING
        )
    )


def _query(condition: Filter, wide: bool, *, looks: bool) -> Query:
    if isinstance(condition, And):
        return {"bool": {"filter": [_query(part, wide, looks=looks) for part in condition.parts]}}
    if isinstance(condition, Or):
        return _any_of([_query(part, wide, looks=looks) for part in condition.parts])
    if isinstance(condition, Not):
        return _not(_query(condition.part, not wide, looks=looks))
    if condition.operator in ("!=", "nin"):
        opposite = "==" if condition.operator == "!=" else "in"
        return _not(_comparison(Compare(condition.key, opposite, condition.value), not wide, looks))
    return _comparison(condition, wide, looks)


def _count_pieces(condition: Filter) -> int:
    return sum(1 for one in compares(condition) for _ in _pieces(one))


def _pieces(compare: Compare) -> list[str]:
    """The pieces of text that a comparison looks for."""
    value = compare.value
    if compare.operator in ("text_match", "text_match_insensitive"):
        return [value]
    if compare.operator in ("contains", "any", "all"):
        return [one for one in (value if isinstance(value, tuple) else [value]) if isinstance(one, str)]
    return []


def _tokens(value: Any) -> Iterator[str]:
    yield _PRESENT
    if isinstance(value, str):
        yield from (_TEXT, _VALUE + _atom(value))
        lower = _clean(value.lower())
        yield _LONG if max(len(value), len(lower)) > LONGEST else _LOWER + lower
        if value == "":
            yield _EMPTY
    elif isinstance(value, int | float):
        atom = _atom(value)
        yield _VALUE + atom
        if atom.startswith("h"):
            yield _LONG
    elif isinstance(value, list):
        if not value:
            yield _EMPTY
        scalars = [one for one in value if not isinstance(one, list | dict)]
        yield from (_ELEMENT + _atom(one) for one in scalars)
        if len(scalars) == len(value):
            yield _LIST + _hashed(value)
    elif isinstance(value, dict):
        yield from (_KEY + _atom(key) for key in value)


def _comparison(compare: Compare, wide: bool, looks: bool) -> Query:
    operator, value = compare.operator, compare.value
    here = _Key(compare.key, wide, looks)
    if operator == "is_empty":
        return _any_of([_not(here.one(_PRESENT)), here.one(_EMPTY)])
    if operator == "==":
        return here.one(_LIST + _hashed(value)) if isinstance(value, tuple) else here.among(_VALUE, [value])
    if operator == "in":
        return here.among(_VALUE, [one for one in value if one is not None])
    if operator == "contains":
        return here.containing([value])
    if operator == "any":
        return here.containing(value)
    if operator == "all":
        return {"bool": {"filter": [here.one(_PRESENT), *here.containing_all(value)]}}
    if operator == "text_match":
        return here.piece(_TEXT_VALUE, value)
    if operator == "text_match_insensitive":
        return here.piece(_LOWER, value.lower())
    return here.ordered(operator, value)


class _Key:
    """Queries for the tokens of one key; ``looks``, also for those that hold a piece of text."""

    def __init__(self, key: str, wide: bool, looks: bool) -> None:
        self._prefix = _prefix(key)
        self._wide = wide
        self._looks = looks

    def one(self, token: str) -> Query:
        return {"term": {FIELD: self._prefix + token}}

    def among(self, kind: str, values: Sequence[Any]) -> Query:
        tokens = [self._prefix + kind + _atom(value) for value in values if value is not None or kind == _ELEMENT]
        return {"terms": {FIELD: tokens}} if tokens else _NOTHING

    def ordered(self, operator: str, value: Any) -> Query:
        kind, written = (_TEXT_VALUE, value) if isinstance(value, str) else (_NUMBER_VALUE, _sortable(value))
        after = kind[:-1] + chr(ord(kind[-1]) + 1)
        return self._undecided(self._range(operator, kind + written, kind, after))

    def _range(self, operator: str, bound: str, least: str, most: str) -> Query:
        name = dict(zip(ORDERING, ("gt", "lt", "gte", "lte"), strict=True))[operator]
        written = bound.encode()
        if len(written) > LONGEST_BOUND:
            if not self._wide:
                return _NOTHING
            cut = written[:LONGEST_BOUND].decode(errors="ignore")
            name, bound = ("gte", cut) if name.startswith("g") else ("lte", cut + _LAST)
        other = {"lt": most} if name.startswith("g") else {"gte": least}
        return {"range": {FIELD: {key: self._prefix + token for key, token in {name: bound, **other}.items()}}}

    def piece(self, kind: str, piece: str) -> Query:
        """Texts that hold a piece."""
        if not self._looks:
            return self.one(_TEXT) if self._wide else _NOTHING
        written = piece.encode()
        if len(written) > LONGEST_PIECE:
            if not self._wide:
                return _NOTHING
            piece = written[:LONGEST_PIECE].decode(errors="ignore")
        pattern = _escaped(self._prefix + kind) + "*" + _escaped(piece) + ("*" if piece else "")
        return self._undecided({"wildcard": {FIELD: {"value": pattern}}})

    def containing(self, values: Sequence[Any]) -> Query:
        """Lists, texts or objects that contain one of ``values``."""
        texts = [value for value in values if isinstance(value, str)]
        pieces = texts if self._looks else texts[:1]  # all the same then
        whole = [self.among(_ELEMENT, values), self.among(_KEY, texts)]
        return _any_of([*whole, *(self.piece(_TEXT_VALUE, text) for text in pieces)])

    def containing_all(self, values: Sequence[Any]) -> list[Query]:
        """Lists, texts or objects that contain each of ``values``."""
        return [self.containing([value]) for value in values]

    def _undecided(self, found: Query) -> Query:
        """Of texts that are too long for a token: in a wide query all, in a narrow one none."""
        if self._wide:
            return _any_of([found, self.one(_LONG)])
        return {"bool": {"filter": [found], "must_not": [self.one(_LONG)]}}


def _any_of(parts: list[Query]) -> Query:
    return {"bool": {"should": parts, "minimum_should_match": 1}} if parts else _NOTHING


def _not(part: Query) -> Query:
    return {"bool": {"must_not": [part]}}


def _prefix(key: str) -> str:
    """What the tokens of a key begin with."""
    return (key if len(key.encode()) <= LONGEST_KEY else _hash(key)) + _END


def _atom(value: Any) -> str:
    """A scalar, equal where the values are: 1, 1.0 and true are."""
    if value is None:
        return "0"
    if isinstance(value, str):
        text = _clean(value)
        return "t" + text if len(text) <= LONGEST else "h" + _hash(text)
    number = _sortable(value)
    return "n" + number if len(number) <= LONGEST else "h" + _hash(number)


def _hashed(values: Sequence[Any]) -> str:
    """A list of scalars, equal where they are one by one."""
    return _hash("".join(f"{len(atom)}:{atom}" for atom in map(_atom, values)))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _sortable(number: float) -> str:
    """A number as text: the order of the texts is that of the numbers, whole ones and fractions alike."""
    exact = Decimal(number)
    if not exact:
        return "0"
    sign, digits, exponent = exact.as_tuple()
    written = "".join(map(str, digits)).rstrip("0")
    power = len(digits) + int(exponent)
    if not sign:
        return f"p{_EXPONENTS + power:07d}{written}"
    return f"-{_EXPONENTS - power:07d}{written.translate(_NINES)}~"


_NINES = str.maketrans("0123456789", "9876543210")


def _clean(text: str) -> str:
    """Text without lone surrogates, which no index holds."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _escaped(text: str) -> str:
    """Text in which nothing is a wildcard."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
