"""``earmark demo``: train, estimate and predict offline, on the example that earmark ships."""

from pathlib import Path

from typer import Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_model_output
from earmark.apps.cli.options import MODEL_FILE
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import prediction_text, show
from earmark.training.summary import training_lines


def demo(
    output: Path = Option(Path("demo.earmark"), "-o", "--output", help=MODEL_FILE),
) -> None:
    """Train and predict offline on the example data that earmark ships."""
    check_model_output(output)
    signals.goes_on()
    from earmark.data.dataset import Dataset, example
    from earmark.data.folders import paths
    from earmark.embeddings.store import Store
    from earmark.training.training import train

    dataset = Dataset.read(example())
    folder = example().parent
    show(f"Training on {folder}:")
    show(
        f"spoken words and everyday sounds, {len(dataset)} clips, {len(dataset.labels)} classes.",
        "",
    )
    with Store() as store, progress_bar("starting") as bar:
        training = train(dataset, store=store, progress=bar)
    output.parent.mkdir(exist_ok=True)
    training.classifier.save(output)
    show(*training_lines(training, str(output)))
    show("", "Three clips of speakers and places that are not in the training set:", "")
    for prediction in training.classifier.predict(paths([folder / "unheard"])):
        name = f"{Path(prediction.path).name} sounds like"
        show(prediction_text(prediction, 3, name=name, width=24))
    show(
        "",
        "Next, with your own recordings, and FOLDER with one sub-folder per class:",
        "",
        f"  earmark predict {output} SOME.wav",
        "  earmark doctor FOLDER",
        "  earmark train FOLDER -o mine.earmark",
        "  earmark predict mine.earmark NEW.wav",
    )
