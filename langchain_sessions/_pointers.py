"""What stands in a message's parts already is pointed at by its origin, not repeated: texts, pictures, whole blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from agent_session_core.models import AudioPart, FilePart, ImagePart, Part, ToolCallPart
from langchain_sessions._blocks import block_of
from langchain_sessions._values import LONG, Path, pack, point_at

__all__ = ["Packer", "resolved"]

_FIELDS = ("text", "data", "url", "signature", "arguments")
_DATA_URL = "data_url"


class Packer:
    """Packs the fields of one message beside the ``parts`` of its record."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    @cached_property
    def _strings(self) -> Mapping[str, Path]:
        return _long_strings(self._parts)

    @cached_property
    def _blocks(self) -> list[Any]:
        return [pack(block_of(part)) for part in self._parts]

    def pack(self, value: Any) -> Any:
        """``value`` as JSON, with pointers for what the parts say.

        Raises:
            InvalidInput: when the value is nested too deeply.
        """
        if not isinstance(value, list):
            return pack(value, self._strings)
        return [self._block(item) if isinstance(item, dict) else pack(item, self._strings) for item in value]

    def _block(self, block: dict[Any, Any]) -> Any:
        packed = pack(block)
        if packed in self._blocks:
            return point_at([self._blocks.index(packed)])
        return pack(block, self._strings)


def resolved(parts: Sequence[Part], path: Path) -> Any:
    """What ``path`` points at: a block, or a string.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: when it points at nothing of ``parts``.
    """
    part, *way = path
    if not isinstance(part, int):
        raise TypeError(path)
    found: Any = parts[part]
    if not way:
        return block_of(found)
    if way[0] == _DATA_URL:
        return f"data:{found.media_type};base64,{found.data}"
    if way[0] not in _FIELDS:
        raise LookupError(path)
    found = getattr(found, str(way[0]))
    found = found[way[1]] if len(way) > 1 else found
    if not isinstance(found, str):
        raise TypeError(path)
    return found


def _long_strings(parts: Sequence[Part]) -> dict[str, Path]:
    strings: dict[str, Path] = {}
    for index, part in enumerate(parts):
        places: dict[tuple[int | str, ...], Any] = {(index, field): getattr(part, field, None) for field in _FIELDS}
        if isinstance(part, ToolCallPart) and isinstance(part.arguments, Mapping):
            places = {(index, "arguments", key): value for key, value in part.arguments.items()}
        if isinstance(part, ImagePart | AudioPart | FilePart) and part.data and part.media_type:
            places[index, _DATA_URL] = f"data:{part.media_type};base64,{part.data}"
        strings.update({value: path for path, value in places.items() if isinstance(value, str) and len(value) >= LONG})
    return strings
