"""What gives texts their vectors: two embeddings that need no network, and the way any other one is asked."""

from __future__ import annotations

from agent_session_core.embedding.minilm import MiniLmEmbedder
from agent_session_core.embedding.service import EmbeddingService
from agent_session_core.embedding.wordllama import WordLlamaEmbedder

__all__ = ["EmbeddingService", "MiniLmEmbedder", "WordLlamaEmbedder"]
