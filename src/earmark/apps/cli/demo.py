"""``earmark demo``: the whole way in one command, offline, on the example that earmark ships."""

from pathlib import Path

from typer import Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_model_output
from earmark.apps.cli.options import MODEL_FILE
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import prediction_text
from earmark.training.summary import training_text


def demo(
    output: Path = Option(Path("demo.earmark"), "-o", "--output", help=MODEL_FILE),
) -> None:
    """Train and predict offline, on the example that earmark ships."""
    check_model_output(output)
    signals.goes_on()
    from earmark.data.dataset import Dataset, example
    from earmark.data.folders import paths
    from earmark.embeddings.store import Store
    from earmark.training.training import train

    dataset = Dataset.read(example())
    folder = example().parent
    print(f"Training on {folder}:")
    print(
        f"spoken words and everyday sounds, {len(dataset)} clips, {len(dataset.labels)} classes.\n"
    )
    with Store() as store, progress_bar("starting") as bar:
        training = train(dataset, backbone="speech-embedding", store=store, progress=bar)
    output.parent.mkdir(exist_ok=True)
    training.classifier.save(output)
    print(training_text(training, str(output)))
    print("\nThree clips from voices and places that are not in the training set:\n")
    for prediction in training.classifier.predict(paths([folder / "unheard"])):
        name = f"{Path(prediction.path).name} sounds like"
        print(prediction_text(prediction, 3, name=name, width=24))
    print(
        "\nNext, with your own recordings, one sub-folder per class:\n\n"
        f"  earmark predict {output} SOME.wav\n"
        "  earmark doctor FOLDER\n"
        "  earmark train FOLDER -o mine.earmark\n"
        "  earmark predict mine.earmark NEW.wav"
    )
