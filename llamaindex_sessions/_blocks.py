"""Content blocks of LlamaIndex as JSON, and back, exactly.

Blocks are put together again without running their validators: those look at the file system, decode pictures and guess
media types, and would make a message unreadable once a file is gone. The types of the fields are checked here instead.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from io import IOBase
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from llama_index.core.base.llms.types import (
    BaseContentBlock,
    BaseRecursiveContentBlock,
    ContentBlock,
    DocumentBlock,
)
from llama_index.core.bridge.pydantic import BaseModel

from llamaindex_sessions._values import contents, exact, restored

__all__ = ["BLOCKS", "block_from_json", "block_to_json", "differences", "patched", "settled"]

BLOCKS: Mapping[str, type[BaseContentBlock]] = {
    block.model_fields["block_type"].default: block for block in get_args(get_args(ContentBlock)[0])
}
"""Every kind of block that a ``ChatMessage`` takes in the installed version of llama-index-core."""


def block_to_json(block: BaseModel) -> dict[str, Any]:
    """The fields of ``block`` that are not at their default, and its ``block_type`` where it has one.

    Raises:
        InvalidInput: when a value cannot be stored.
    """
    data: dict[str, Any] = {}
    for name, field in type(block).model_fields.items():
        value = getattr(block, name)
        if isinstance(value, BaseContentBlock):
            data[name] = block_to_json(value)
        elif isinstance(value, list) and any(isinstance(item, BaseContentBlock) for item in value):
            data[name] = [block_to_json(item) for item in value]
        elif name == "block_type" or field.is_required() or value != field.get_default(call_default_factory=True):
            data[name] = exact(value)
    return data


def block_from_json(data: Any) -> ContentBlock:
    """The block of which ``block_to_json`` made ``data``.

    Raises:
        ValueError, TypeError, KeyError: when it is no block of a known kind with values of the right types.
    """
    block: ContentBlock = _built(BLOCKS[data["block_type"]], data)
    return block


def differences(block: BaseContentBlock, other: BaseContentBlock) -> dict[str, Any] | None:
    """What must be set in ``other`` to make it ``block``, as JSON; None where they are of two kinds.

    Raises:
        InvalidInput: when a value cannot be stored.
    """
    if not isinstance(block, type(other)):
        return None
    return {
        name: exact(value)
        for name in type(other).model_fields
        if (value := getattr(block, name)) != (theirs := getattr(other, name)) or type(value) is not type(theirs)
    }


def patched(block: ContentBlock, changes: Mapping[str, Any]) -> ContentBlock:
    """``block`` with the ``differences`` applied.

    Raises:
        ValueError, TypeError: when a field is not there or cannot hold the value.
    """
    return block.model_copy(update=_checked(type(block), {name: restored(value) for name, value in changes.items()}))


def settled(block: ContentBlock) -> ContentBlock:
    """``block`` with the bytes of a stream in place of the stream, as LlamaIndex keeps bytes: in base64.

    Raises:
        InvalidInput: when the stream cannot be read.
    """
    for name, value in block:
        if isinstance(value, IOBase):
            data = base64.b64encode(contents(value))
            if isinstance(block, DocumentBlock):  # it guessed its media type from the stream when it was made
                return block.model_copy(update={name: data})
            known = type(block).model_validate({**dict(block), "path": None, name: data})
            return known.model_copy(update={"path": getattr(block, "path", None)})
    return block


def _built(kind: type[BaseModel], data: Mapping[str, Any]) -> Any:
    nested = kind.nested_blocks_field_name() if issubclass(kind, BaseRecursiveContentBlock) else None
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name == nested:
            values[name] = (
                [block_from_json(item) for item in value] if isinstance(value, list) else block_from_json(value)
            )
        elif isinstance(value, dict) and (model := _model(kind, name)) is not None:
            values[name] = _built(model, value)
        else:
            values[name] = restored(value)
    for name, field in kind.model_fields.items():
        if field.is_required() and name not in values:
            raise ValueError(f"{kind.__name__} without {name}")
    return kind.model_construct(**_checked(kind, values))


def _checked(kind: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not isinstance(value, _types(kind, name)):
            raise TypeError(f"{kind.__name__}.{name} cannot be a {type(value).__name__}")
    return values


def _model(kind: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model that the field holds, where it holds one."""
    return next((held for held in _types(kind, name) if issubclass(held, BaseModel)), None)


@cache
def _types(kind: type[BaseModel], name: str) -> tuple[type, ...]:
    """The classes a field's value may have.

    Raises:
        ValueError: when there is no such field.
    """
    if name not in kind.model_fields:
        raise ValueError(f"{kind.__name__} has no {name}")
    return tuple(_classes(kind.model_fields[name].annotation))


def _classes(annotation: Any) -> Iterator[type]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _classes(arguments[0])
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _classes(argument)
    elif origin is Literal:
        yield from map(type, arguments)
    elif annotation is Any:
        yield object
    else:
        yield origin or annotation
