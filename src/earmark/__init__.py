"""earmark turns a folder of labelled recordings into a classifier you can trust and ship."""

from typing import TYPE_CHECKING

from earmark.system import renamed
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.backbones.registry import list_backbones, load_backbone
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.prediction import Prediction
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
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
    "Prediction": "classifier.prediction",
    "Recipe": "training.finetuning.recipe",
    "Store": "embeddings.store",
    "Training": "training.training",
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
    "finetune",
    "list_backbones",
    "load_backbone",
    "train",
]
__getattr__ = renamed.public_names(_HOMES)
renamed.install()


def __dir__() -> list[str]:
    return __all__
