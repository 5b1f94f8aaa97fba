"""The trained classifier: features, head, calibration, decision rule, file, session."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.classifier.classifier import BackboneUse, Classifier
    from earmark.classifier.prediction import Prediction
    from earmark.classifier.session import Session
    from earmark.classifier.tagging import Tags, tag
    from earmark.classifier.transformers_pipeline import AudioPipeline, pipeline

__all__ = [
    "AudioPipeline",
    "BackboneUse",
    "Classifier",
    "Prediction",
    "Session",
    "Tags",
    "pipeline",
    "tag",
]
__getattr__ = hand_on(
    __name__,
    {
        "AudioPipeline": "transformers_pipeline",
        "BackboneUse": "classifier",
        "Classifier": "classifier",
        "Prediction": "prediction",
        "Session": "session",
        "Tags": "tagging",
        "pipeline": "transformers_pipeline",
        "tag": "tagging",
    },
)
