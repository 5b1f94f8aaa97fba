"""The kinds of work on parts, by the names of their commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.embeddings.part_work import PartWork


def load_work(kind: str, how: Mapping[str, Any], root: Path) -> PartWork:
    """Load what a kind of work needs: 'embed', 'predict' or 'detect'.

    ``how`` has the arguments of its ``load``, in types of JSON, so that other machines can load it,
    too. ``root`` is the folder that the paths of recordings start from.
    """
    if kind == "embed":
        from earmark.embeddings.embed_work import EmbedWork

        return EmbedWork.load(how, root)
    if kind == "predict":
        from earmark.classifier.predict_work import PredictWork

        return PredictWork.load(how, root)
    if kind == "detect":
        from earmark.detection.detect_work import DetectWork

        return DetectWork.load(how, root)
    raise EarmarkError(f"no work {kind!r} is known. Install the same earmark on all machines.")
