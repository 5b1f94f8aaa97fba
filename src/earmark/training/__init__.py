"""Training: choose layers and head, fit, estimate, compare and fine-tune."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.training.comparison import Comparison, compare
    from earmark.training.evaluation import Evaluation, evaluate
    from earmark.training.finetuning.conduct import FineTuning, finetune
    from earmark.training.finetuning.recipe import Recipe
    from earmark.training.sklearn import AudioClassifier, AudioEmbedder
    from earmark.training.training import Training, train

__all__ = [
    "AudioClassifier",
    "AudioEmbedder",
    "Comparison",
    "Evaluation",
    "FineTuning",
    "Recipe",
    "Training",
    "compare",
    "evaluate",
    "finetune",
    "train",
]
__getattr__ = hand_on(
    __name__,
    {
        "AudioClassifier": "sklearn",
        "AudioEmbedder": "sklearn",
        "Comparison": "comparison",
        "compare": "comparison",
        "Evaluation": "evaluation",
        "evaluate": "evaluation",
        "FineTuning": "finetuning.conduct",
        "finetune": "finetuning.conduct",
        "Recipe": "finetuning.recipe",
        "Training": "training",
        "train": "training",
    },
)
