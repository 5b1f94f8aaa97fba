"""earmark turns a folder of labelled recordings into a classifier you can trust and ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from earmark.backbones.registry import load_backbone
    from earmark.classifier.classifier import Classifier, Prediction
    from earmark.data.clip import Clip
    from earmark.data.dataset import Dataset
    from earmark.embeddings.store import Store
    from earmark.errors import EarmarkError
    from earmark.training.finetuning.conduct import FineTuning, finetune
    from earmark.training.finetuning.recipe import Recipe
    from earmark.training.training import Training, train
    from earmark.version import __version__

_HOMES = {
    "Classifier": "classifier",
    "Clip": "dataset",
    "Dataset": "dataset",
    "EarmarkError": "errors",
    "FineTuning": "finetuning.conduct",
    "Prediction": "classifier",
    "Recipe": "finetuning.recipe",
    "Store": "store",
    "Training": "training",
    "__version__": "version",
    "load_backbone": "backbones",
    "finetune": "finetuning.conduct",
    "train": "training",
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
    "load_backbone",
    "train",
]


def __getattr__(name: str) -> object:
    """Import a public name or a module when it is first used: importing earmark costs nothing."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"earmark.{_HOMES[name]}"), name)
    try:
        return importlib.import_module(f"earmark.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"earmark.{name}":  # a package that the module needs
            raise
        raise AttributeError(f"module 'earmark' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return __all__
