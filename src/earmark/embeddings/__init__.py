"""Clips become vectors: cutting, computing, pooling, the store."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.embeddings.embedding import Embeddings, embed
    from earmark.embeddings.pipeline import embed_clip, embed_stream
    from earmark.embeddings.stages import Embedded, Failure, Request, WindowStats
    from earmark.embeddings.store import Store

__all__ = [
    "Embedded",
    "Embeddings",
    "Failure",
    "Request",
    "Store",
    "WindowStats",
    "embed",
    "embed_clip",
    "embed_stream",
]
__getattr__ = hand_on(
    __name__,
    {
        "Embeddings": "embedding",
        "embed": "embedding",
        "embed_clip": "pipeline",
        "embed_stream": "pipeline",
        "Embedded": "stages",
        "Failure": "stages",
        "Request": "stages",
        "WindowStats": "stages",
        "Store": "store",
    },
)
