"""LlamaIndex's nodes as nodes of the core, and back: each as its own class, and equal but for the embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    TextNode,
)

from agent_session_core import InvalidInput
from agent_session_core.nodes import Node as Record
from llamaindex_sessions._arguments import listed
from llamaindex_sessions._values import exact, plain, restored

__all__ = ["node_to_record", "nodes_to_records", "record_to_node"]

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (TextNode, ImageNode, IndexNode, Document, ImageDocument, Node)
}
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
_ELSEWHERE = {"id_", "embedding", "metadata", "text", "obj", *_RESOURCES}
"""Fields that stand in the record itself, or that LlamaIndex would not dump whole."""


def node_to_record(node: BaseNode) -> Record:
    """The record of a node. Its metadata is what filters see: times, paths and the like as text.

    Raises:
        InvalidInput: naming the node and what in it cannot be stored.
    """
    if not isinstance(node, BaseNode):
        raise InvalidInput(f"nodes: expected nodes of LlamaIndex, got {type(node).__name__}; make a TextNode of it")
    metadata = plain(node.metadata)
    data = {"class": _known(type(node)), "fields": exact(_fields(node))}
    if type(node) is not _CLASSES[data["class"]]:
        data["type"] = _path(type(node))
    if (tagged := exact(node.metadata)) != metadata:
        data["metadata"] = tagged
    return Record(
        id=node.node_id,
        text=_text(node),
        metadata=metadata,
        data=data,
        ref_doc_id=_ref_doc_id(node),
        vector=node.embedding,
    )


def nodes_to_records(nodes: Sequence[BaseNode]) -> list[Record]:
    """The records of nodes.

    Raises:
        InvalidInput: when it is no list of nodes; and as :func:`node_to_record`.
    """
    return [node_to_record(node) for node in listed(nodes, "nodes")]


def record_to_node(record: Record) -> BaseNode:
    """The node of a record, without its embedding."""
    data = record.data
    kind = _CLASSES[data["class"]]
    if "type" in data:
        kind = next((loaded for loaded in _below(kind) if _path(loaded) == data["type"]), kind)
    fields = restored(data["fields"])
    if issubclass(kind, TextNode):
        fields["text"] = record.text
    elif "text" in fields.get("text_resource", {}):
        fields["text_resource"]["text"] = record.text
    inner = fields.pop("obj", None)
    metadata = restored(data["metadata"]) if "metadata" in data else record.metadata
    node: BaseNode = kind(id_=record.id, metadata=metadata, **fields)
    if inner is not None and isinstance(node, IndexNode):
        node.obj = record_to_node(Record(**inner["node"])) if "node" in inner else inner["value"]
    return node


def _fields(node: BaseNode) -> dict[str, Any]:
    """What the record does not say itself, but for what is as LlamaIndex has it by default."""
    plain_node = node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node
    fields = plain_node.model_dump(exclude=_ELSEWHERE, exclude_defaults=True)
    for name in {"class_name", "obj"} & fields.keys():
        del fields[name]
    for name in _RESOURCES:
        if (resource := getattr(node, name, None)) is not None:
            fields[name] = _resource(resource, in_record=name == "text_resource")
    if isinstance(node, IndexNode) and node.obj is not None:
        fields["obj"] = _object(node)
    return fields


def _resource(resource: MediaResource, *, in_record: bool) -> dict[str, Any]:
    """A resource with the bytes that its own dump leaves out; a text that the record holds is only marked."""
    fields = resource.model_dump(exclude_none=True)
    if resource.data is not None:
        fields["data"] = resource.data.decode("ascii") if resource.data.isascii() else resource.data
    if in_record and "text" in fields:
        fields["text"] = ""
    return fields


def _object(node: IndexNode) -> dict[str, Any]:
    """What an IndexNode refers to: another node, or plain data.

    Raises:
        InvalidInput: for anything else, which only the program that made it has.
    """
    if isinstance(node.obj, BaseNode):
        inner = node_to_record(node.obj)
        return {"node": {"id": inner.id, "text": inner.text, "metadata": inner.metadata, "data": inner.data}}
    if isinstance(node.obj, str | int | float | list | dict):
        return {"value": node.obj}
    raise InvalidInput(
        f"nodes: {node.node_id!r:.60} refers to a {type(node.obj).__name__}, which cannot be stored; hand it to the "
        "index by objects=, or set obj=None"
    )


def _text(node: BaseNode) -> str:
    if isinstance(node, TextNode):
        return node.text
    resource = getattr(node, "text_resource", None)
    return (resource.text if isinstance(resource, MediaResource) else None) or ""


def _ref_doc_id(node: BaseNode) -> str | None:
    try:
        return node.ref_doc_id
    except ValueError as error:
        raise InvalidInput(f"nodes: {node.node_id!r:.60} has several sources ({error}); give it one") from error


def _known(kind: type[BaseNode]) -> str:
    """The nearest class that every program with LlamaIndex has."""
    for base in kind.__mro__:
        if _CLASSES.get(base.__name__) is base:
            return base.__name__
    raise InvalidInput(f"nodes: {kind.__name__} is no kind of TextNode or Node; derive it from one of them")


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    """The classes derived from ``kind`` that the program has defined: stored data never imports one."""
    derived: Sequence[type[Any]] = kind.__subclasses__()
    for one in derived:
        yield one
        yield from _below(one)


def _path(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
