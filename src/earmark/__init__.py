"""earmark turns a folder of labelled recordings into a classifier you can trust and ship."""

from typing import TYPE_CHECKING

from earmark.system import renamed
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.audio.options import AudioOptions
    from earmark.backbones.registry import list_backbones, load_backbone
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.hub import pull, push
    from earmark.classifier.onnx.exporting import export
    from earmark.classifier.prediction import Prediction
    from earmark.classifier.saving import load
    from earmark.classifier.session import Session
    from earmark.classifier.tagging import tag
    from earmark.classifier.transformers_pipeline import pipeline
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.data.doctor.examination import doctor
    from earmark.data.event import Event, RecordingEvents
    from earmark.detection.streams import EventStream
    from earmark.embeddings.embedding import embed
    from earmark.embeddings.store import Store
    from earmark.errors import AudioError, EarmarkError, EarmarkWarning
    from earmark.labelling.reviewing import review
    from earmark.training.comparison import compare
    from earmark.training.detector import DetectorTraining, train_detector
    from earmark.training.evaluation import evaluate
    from earmark.training.event_evaluation import DetectorEvaluation, evaluate_detector
    from earmark.training.finetuning.conduct import FineTuning, finetune
    from earmark.training.finetuning.recipe import Recipe
    from earmark.training.sklearn import AudioClassifier, AudioEmbedder
    from earmark.training.training import Training, train

_HOMES = {
    "AudioClassifier": "training.sklearn",
    "AudioEmbedder": "training.sklearn",
    "AudioError": "errors",
    "AudioOptions": "audio.options",
    "Classifier": "classifier.classifier",
    "Clip": "data.clip",
    "Dataset": "data.dataset",
    "DetectorEvaluation": "training.event_evaluation",
    "DetectorTraining": "training.detector",
    "EarmarkError": "errors",
    "EarmarkWarning": "errors",
    "Event": "data.event",
    "EventStream": "detection.streams",
    "FineTuning": "training.finetuning.conduct",
    "Prediction": "classifier.prediction",
    "Recipe": "training.finetuning.recipe",
    "RecordingEvents": "data.event",
    "Session": "classifier.session",
    "Store": "embeddings.store",
    "Training": "training.training",
    "compare": "training.comparison",
    "embed": "embeddings.embedding",
    "evaluate": "training.evaluation",
    "evaluate_detector": "training.event_evaluation",
    "doctor": "data.doctor.examination",
    "export": "classifier.onnx.exporting",
    "finetune": "training.finetuning.conduct",
    "list_backbones": "backbones.registry",
    "load": "classifier.saving",
    "load_backbone": "backbones.registry",
    "pipeline": "classifier.transformers_pipeline",
    "pull": "classifier.hub",
    "push": "classifier.hub",
    "review": "labelling.reviewing",
    "tag": "classifier.tagging",
    "train": "training.training",
    "train_detector": "training.detector",
}

__all__ = [
    "AudioClassifier",
    "AudioEmbedder",
    "AudioError",
    "AudioOptions",
    "Classifier",
    "Clip",
    "Dataset",
    "DetectorEvaluation",
    "DetectorTraining",
    "EarmarkError",
    "EarmarkWarning",
    "Event",
    "EventStream",
    "FineTuning",
    "Prediction",
    "Recipe",
    "RecordingEvents",
    "Session",
    "Store",
    "Training",
    "__version__",
    "compare",
    "doctor",
    "embed",
    "evaluate",
    "evaluate_detector",
    "export",
    "finetune",
    "list_backbones",
    "load",
    "load_backbone",
    "pipeline",
    "pull",
    "push",
    "review",
    "tag",
    "train",
    "train_detector",
]
__getattr__ = renamed.public_names(_HOMES)
renamed.install()


def __dir__() -> list[str]:
    return __all__
