"""The card of a published classifier: its README.md, made from the estimate.

Every text from outside (labels, sentences of the estimate, names of networks) is escaped. YAML is
written by PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from earmark.backbones.registry import HUGGING_FACE
from earmark.classifier.hub_address import SCHEME
from earmark.errors import HubError, amount
from earmark.system import extras
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.estimate import Estimate
    from earmark.classifier.network_licences import NetworkLicence

MOST_CLASSES = 200  # that a card lists
MOST_CHARACTERS = 200  # of a label
VERDICTS = {"use": "use", "care": "use with care", "worthless": "worthless"}
FIGURES = {  # of an estimate: name in the card, type on the Hub
    "accuracy": ("accuracy", "accuracy"),
    "balanced_accuracy": ("balanced accuracy", "balanced_accuracy"),
    "macro_f1": ("macro F1", "f1"),
    "mean_average_precision": ("mean average precision", "mean_average_precision"),
    "calibration_error": ("expected calibration error", "expected_calibration_error"),
}

_MARKUP = re.compile(r"[#$&*<>@\[\\\]^_`|~]|:(?=/)|(?<=www)\.", re.I)  # inside a line


def model_card(
    classifier: Classifier,
    repo: str,
    licences: Sequence[NetworkLicence],
    licence: str | None = None,
) -> str:
    """Return the card of a classifier in repository ``repo``, with its front matter."""
    yaml = extras.load("yaml", "hub", "a model card", HubError)
    front = yaml.safe_dump(
        front_matter(classifier, repo, licence), sort_keys=False, allow_unicode=False
    )
    sections = [
        _head(classifier, repo),
        _use(repo, is_detector=classifier.detector is not None),
        _quality(classifier),
        _classes(classifier),
        _data(classifier),
        _networks(classifier, licences),
        _limits(classifier),
    ]
    return f"---\n{front}---\n\n" + "\n".join("\n".join(lines) for lines in sections)


def front_matter(classifier: Classifier, repo: str, licence: str | None) -> dict[str, Any]:
    """Return what the Hub reads of the card."""
    bases = [
        use.name.removeprefix(HUGGING_FACE).partition("@")[0]
        for use in classifier.backbones
        if re.fullmatch(rf"{HUGGING_FACE}[\w.-]+/[\w.-]+(@[\w./-]+)?", use.name, re.ASCII)
    ]
    name = repo.rpartition("/")[2]
    tags = ["earmark", "audio", "transfer-learning"]
    tags += ["sound-event-detection"] if classifier.detector is not None else []
    return {
        "library_name": "earmark",
        "pipeline_tag": "audio-classification",
        "license": licence or "unknown",
        "tags": tags,
        **({"base_model": bases} if bases else {}),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "audio-classification", "name": "Audio classification"},
                        "dataset": {
                            "type": "training-data",
                            "name": "out-of-fold clips of the training data",
                        },
                        "metrics": _metrics(classifier.estimate),
                    }
                ],
            }
        ],
    }


def _metrics(estimate: Estimate) -> list[dict[str, Any]]:
    metrics: list[dict[str, Any]] = []
    for attribute, (name, kind) in FIGURES.items():
        if (value := getattr(estimate, attribute)) is not None:
            metrics.append({"type": kind, "name": name, "value": round(float(value), 4)})
    metrics[0]["name"] += f", 95 % interval {_interval(estimate.interval)}"
    return metrics


# Escaping


def plain(text: object) -> str:
    """Return a sentence from outside for Markdown: nothing in it is markup, HTML or a link."""
    shown = one_line(text)
    return _MARKUP.sub(
        lambda found: escape(found[0]) if found[0] in "<>&" else f"\\{found[0]}", shown
    )


def code(text: object) -> str:
    """Return a name from outside as a span of code, whatever backticks it has."""
    shown = one_line(text)
    if len(shown) > MOST_CHARACTERS:
        shown = f"{shown[: MOST_CHARACTERS - 3]}..."
    runs = [len(run) for run in re.findall("`+", shown)]
    fence = "`" * (max(runs, default=0) + 1)
    edge = " " if shown[:1] in "` " or shown[-1:] in "` " else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def _interval(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


# Sections


def _head(classifier: Classifier, repo: str) -> list[str]:
    what = "finds events of" if classifier.detector is not None else "classifies recordings into"
    classes = amount(len(classifier.labels), "class")
    networks = ", ".join(code(use.name) for use in classifier.backbones)
    return [
        f"# {plain(repo.rpartition('/')[2])}",
        "",
        f"This classifier {what} {classes}. It stands on {networks}, with a"
        f" {classifier.head.kind} head. It is one file of earmark, and no code in it is run.",
        "",
    ]


def _use(repo: str, *, is_detector: bool) -> list[str]:
    address = f"{SCHEME}{repo}"
    verb, file = ("detect", "night.wav") if is_detector else ("predict", "new.wav")
    return [
        "## How to use it",
        "",
        "```python",
        "import earmark",
        "",
        f'classifier = earmark.load("{address}")',
        f'print(classifier.{verb}("{file}"))',
        "```",
        "",
        "```bash",
        f"earmark {verb} {address} {file}",
        f"earmark pull {repo} -o mine.earmark",
        "```",
        "",
        "Add `@COMMIT` to the address to always get the same file.",
        "",
    ]


def _quality(classifier: Classifier) -> list[str]:
    estimate = classifier.estimate
    lines = ["## How good it is", ""]
    if estimate.verdict is not None:
        word = VERDICTS[estimate.verdict["word"]]
        lines += [f"**Verdict: {word}.** {plain(_sentence(estimate.verdict['why']))}", ""]
    if (head := estimate.headline) is not None:
        name = FIGURES[head["name"]][0]
        lines += [
            f"- {name}, the figure to judge by: {head['value']:.3f}, 95 % interval"
            f" {_interval(head['ci95'])}; guessing gives {head['chance']:.3f}"
        ]
    interval = f", 95 % interval {_interval(estimate.interval)}"
    for attribute, (name, _) in FIGURES.items():
        is_head = estimate.headline is not None and estimate.headline["name"] == attribute
        if (value := getattr(estimate, attribute)) is not None and not is_head:
            lines.append(f"- {name}: {value:.3f}{interval if attribute == 'accuracy' else ''}")
    lines.append(f"- how it was tested: {plain(estimate.scheme)}")
    folds = [f"{fold['accuracy']:.3f}" for fold in estimate.folds if "accuracy" in fold]
    if folds:
        lines.append(f"- accuracy of each fold: {', '.join(folds)}")
    lines += _baselines(estimate)
    return [*lines, *_events(classifier), ""]


def _baselines(estimate: Estimate) -> Iterator[str]:
    yield f"- always the same class: {estimate.chance:.3f}"
    for row in estimate.baselines or ():
        if isinstance(row.get("accuracy"), (int, float)):
            yield f"- {plain(row.get('name', 'a baseline'))}: {row['accuracy']:.3f}"


def _events(classifier: Classifier) -> Iterator[str]:
    """Yield the figures of events, for a detector that was trained as one."""
    found = dict(classifier.detector.estimate) if classifier.detector is not None else {}
    overall = found.get("overall") or {}
    for key, name in (
        ("recall", "events found"),
        ("precision", "detected events that are right"),
        ("f1_iou30", "F1 of events that overlap by 30 %"),
        ("false_per_hour", "false events an hour"),
    ):
        if isinstance(overall.get(key), (int, float)):
            interval = (overall.get("ci95") or {}).get(key)
            between = f", 95 % interval {_interval(interval)}" if interval else ""
            yield f"- {name}: {overall[key]:.3f}{between}"


def _classes(classifier: Classifier) -> list[str]:
    rows = {row.get("label"): row for row in classifier.estimate.classes}
    lines = ["## Classes", ""]
    for label in classifier.labels[:MOST_CLASSES]:
        row, figures = rows.get(label, {}), []
        for key in ("recall", "precision", "f1"):
            if isinstance(row.get(key), (int, float)):
                figures.append(f"{key} {row[key]:.3f}")
        if isinstance(row.get("n"), int):
            figures.append(f"of {amount(row['n'], 'clip')}")
        lines.append(f"- {code(label)}{': ' if figures else ''}{', '.join(figures)}")
    if (more := len(classifier.labels) - MOST_CLASSES) > 0:
        lines.append(f"- and {amount(more, 'more class')}")
    return [*lines, ""]


def _data(classifier: Classifier) -> list[str]:
    saved = classifier.provenance
    lines = ["## Training data", ""]
    clips = saved.get("clips", classifier.estimate.n_clips)
    lines.append(f"- {amount(clips, 'clip')} in {amount(len(classifier.labels), 'class')}")
    if "clip_seconds" in saved:
        shortest, longest = saved["clip_seconds"]
        between = f"{shortest:g}" if shortest == longest else f"{shortest:g} to {longest:g}"
        lines.append(f"- most clips last {between} s")
    if "data" in saved:
        lines.append(f"- hash of the data: {code(saved['data'])}")
    if "earmark" in saved:
        lines.append(
            f"- trained with earmark {code(saved['earmark'])}, seed {saved.get('seed', 0)}"
        )
    hashes = (
        "The file has no hashes of the training clips, so `earmark evaluate` cannot leave them out."
        if classifier.known is None
        else "The file has hashes of the training clips. So `earmark evaluate` leaves them out, and"
        " whoever has a recording can find out whether it was among them."
    )
    return [*lines, "", hashes, ""]


def _networks(classifier: Classifier, licences: Sequence[NetworkLicence]) -> list[str]:
    lines = ["## Networks and their licences", ""]
    for entry in licences:
        warning = f" **Note: {plain(entry.warning)}.**" if entry.warning else ""
        lines.append(f"- {code(entry.name)}: {plain(entry.licence)}.{warning}")
    weights = (
        "The file has weights of these networks that were trained further, so their licences hold"
        " for it."
        if classifier.tuned
        else "The file does not have the weights of these networks. earmark finds them on the"
        " machine, or downloads those that it knows by hash."
    )
    return [*lines, "", f"{weights} `LICENSES.txt` has their notices.", ""]


def _limits(classifier: Classifier) -> list[str]:
    below = classifier.decision_rule.unknown_threshold
    unknown = (
        "- It answers one of its classes to every sound, even to one that it has never heard."
        if below is None
        else "- It answers 'unknown' to sounds that are unlike its training clips, but not to all."
    )
    return [
        "## Limits",
        "",
        "- The figures hold for recordings like those of the training data. Other microphones,"
        " rooms, speakers and sounds give others: test it on your own with `earmark evaluate`.",
        unknown,
        "- A score is a probability only where classes are as frequent as in the training data.",
        "",
    ]


def _sentence(text: object) -> str:
    shown = str(text).strip()
    return f"{shown[:1].upper()}{shown[1:]}"
