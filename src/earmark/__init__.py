"""earmark turns a folder of labelled recordings into a classifier you can trust and ship."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.backbones.registry import list_backbones, load_backbone
    from earmark.classifier.classifier import Classifier, Prediction
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.data.doctor.examination import doctor
    from earmark.embeddings.store import Store
    from earmark.errors import EarmarkError
    from earmark.training.finetuning.conduct import FineTuning, finetune
    from earmark.training.finetuning.recipe import Recipe
    from earmark.training.training import Training, train

_HOMES = {
    "Classifier": "classifier.classifier",
    "Clip": "data.clip",
    "Dataset": "data.dataset",
    "EarmarkError": "errors",
    "FineTuning": "training.finetuning.conduct",
    "Prediction": "classifier.classifier",
    "Recipe": "training.finetuning.recipe",
    "Store": "embeddings.store",
    "Training": "training.training",
    "doctor": "data.doctor.examination",
    "finetune": "training.finetuning.conduct",
    "list_backbones": "backbones.registry",
    "load_backbone": "backbones.registry",
    "train": "training.training",
}

__all__ = [
    "Classifier",
    "Clip",
    "Dataset",
    "EarmarkError",
    "FineTuning",
    "Prediction",
    "Recipe",
    "Store",
    "Training",
    "__version__",
    "doctor",
    "finetune",
    "list_backbones",
    "load_backbone",
    "train",
]
__getattr__ = hand_on(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
