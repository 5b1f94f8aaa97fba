"""The whole way in one command, offline, on the example that earmark ships."""

from __future__ import annotations

from pathlib import Path

from earmark.apps.cli import text as console
from earmark.dataset import Dataset, paths
from earmark.store import Store
from earmark.training import train

EXAMPLE = Path(__file__).parents[2] / "example"


def run(output: Path) -> None:
    """Train on the shipped example, print the estimate, and predict clips it never heard."""
    dataset = Dataset.read(EXAMPLE / "manifest.csv")
    print(f"Training on {EXAMPLE}:")
    print(
        f"spoken words and everyday sounds, {len(dataset)} clips, {len(dataset.labels)} classes.\n"
    )
    with Store() as store, console.progress_bar("embedding", len(dataset)) as bar:
        training = train(dataset, backbone="speech-embedding", store=store, progress=bar)
    training.classifier.save(output)
    print(console.training_text(training, str(output)))
    unheard = paths([EXAMPLE / "unheard"])
    print("\nThree clips from voices and places that are not in the training set:\n")
    for prediction in training.classifier.predict(unheard):
        name = f"{Path(prediction.path).name} sounds like"
        print(console.prediction_text(prediction, 3, name=name, width=24))
    print(
        "\nNext, with your own recordings, one sub-folder per class:\n\n"
        f"  earmark predict {output} SOME.wav\n"
        "  earmark doctor FOLDER\n"
        "  earmark train FOLDER -o mine.earmark\n"
        "  earmark predict mine.earmark NEW.wav"
    )
