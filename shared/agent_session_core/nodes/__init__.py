"""Nodes: pieces of text with a vector and metadata, in collections of their own beside the sessions.

A collection belongs to one user of one tenant, or to no user. It is made by the first node put into it, and holds
vectors of one dimension: those of one embedding.
"""

from agent_session_core.nodes.collection import NodeCollection
from agent_session_core.nodes.ranking import NodeMode
from agent_session_core.nodes.records import Node, NodeHit

__all__ = ["Node", "NodeCollection", "NodeHit", "NodeMode"]
