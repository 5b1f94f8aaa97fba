"""Turn clips into vectors: cutting, computing, pooling, the store, parts, archives."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.embeddings.archive import Archive
    from earmark.embeddings.batches import batch_schema, embed_batches
    from earmark.embeddings.embedding import Embeddings, embed
    from earmark.embeddings.pipeline import embed_clip, embed_stream
    from earmark.embeddings.stages import Embedded, Failure, Request, WindowStats
    from earmark.embeddings.store import Store
    from earmark.embeddings.table import EmbeddingTable

__all__ = [
    "Archive",
    "Embedded",
    "EmbeddingTable",
    "Embeddings",
    "Failure",
    "Request",
    "Store",
    "WindowStats",
    "batch_schema",
    "embed",
    "embed_batches",
    "embed_clip",
    "embed_stream",
]
__getattr__ = hand_on(
    __name__,
    dict.fromkeys(("batch_schema", "embed_batches"), "batches")
    | dict.fromkeys(("Embeddings", "embed"), "embedding")
    | dict.fromkeys(("embed_clip", "embed_stream"), "pipeline")
    | dict.fromkeys(("Embedded", "Failure", "Request", "WindowStats"), "stages")
    | {"Archive": "archive", "EmbeddingTable": "table", "Store": "store"},
)
