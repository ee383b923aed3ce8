"""JSON as the database keeps it: ASCII-escaped text, exact to the last surrogate.

Written by the standard library, which keeps NaN, lone surrogates and large integers. Read by orjson, which is several
times faster, and by the standard library where orjson refuses. Large integers it would round without a word: text that
may hold one carries a leading space.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from agent_session_core.errors import CorruptRecord, InvalidInput

MAX_DEPTH = 100
"""How deep lists and mappings may be nested in anything that is stored."""
AROUND = 8
"""The levels that a line of a file, and the records in it, put around what was given, at most."""

_LARGE_INTEGER = re.compile(r"[0-9][0-9]{18}")  # in two: four times as fast as one. A match in a string does no harm
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


def encode(value: Any, argument: str, *, around: int = 0) -> str:
    """The text of ``value``.

    Args:
        value: what is stored.
        argument: its name in an error.
        around: the levels that a record of ours puts around what was given, which do not count.

    Raises:
        InvalidInput: naming ``argument`` where the value is not JSON or is nested too deeply.
    """
    try:
        text = _encode(value)
    except RecursionError:
        raise InvalidInput(f"{argument}: nested deeper than {MAX_DEPTH} levels; flatten it") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{argument}: not JSON ({error}); use strings, numbers, lists and mappings") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH + around:
        raise InvalidInput(f"{argument}: nested deeper than {MAX_DEPTH} levels; flatten it")
    return " " + text if _LARGE_INTEGER.search(text) else text


def decode(text: str) -> Any:
    """The value of a stored ``text``.

    Raises:
        CorruptRecord: when it is not JSON.
    """
    if text[:1] != " ":
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(
            f"stored JSON {len(text)} characters long cannot be read ({error}); restore it from a backup"
        ) from error


def decode_object(text: str) -> dict[str, Any]:
    """The mapping of a stored ``text``.

    Raises:
        CorruptRecord: when it is not the JSON of a mapping.
    """
    value = decode(text)
    if not isinstance(value, dict):
        raise CorruptRecord(f"stored JSON {len(text)} characters long is no object; restore it from a backup")
    return value


def canonical(text: str) -> str:
    """The stored ``text`` with its keys in order: equal for values that differ in nothing else."""
    return json.dumps(decode(text), sort_keys=True)


def _depth(value: Any) -> int:
    deepest, open_ = 0, [(value, 1)]
    while open_:
        item, depth = open_.pop()
        if isinstance(item, dict):
            open_ += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list | tuple):
            open_ += [(child, depth + 1) for child in item]
        else:
            continue
        deepest = max(deepest, depth)
    return deepest
