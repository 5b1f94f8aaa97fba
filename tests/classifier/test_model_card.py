"""The card of a published classifier: what it says, and labels that would be markup."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from earmark.classifier.hub import Repository
from earmark.classifier.hub_address import check_licence
from earmark.classifier.model_card import code, front_matter, model_card, plain
from earmark.classifier.network_licences import NetworkLicence, licences_of, licences_text
from earmark.errors import HubError

yaml = pytest.importorskip("yaml", reason="the extra earmark[hub] is not installed")
OLD = Path(__file__).parents[1] / "fixtures" / "0.1"
REPO = "alice/street-sounds"
EVIL = (
    "a`b",
    "``",
    "<script>alert(1)</script>",
    "[x](http://evil.example)",
    "![x](http://evil.example/p.png)",
    "# heading",
    "---\nlicense: mit\n---",
    "|a|b|",
    "\x1b[31mred",
    "\u202egnp.exe",
    "</code><img src=x onerror=alert(1)>",
    "{{ x }}",
    "x" * 1_000,
    "1. one",
    "```\nfence",
)


@pytest.fixture
def trained(tones) -> earmark.Classifier:
    return earmark.train(tones, backbone="logmel", head="prototype").classifier


def named(classifier: earmark.Classifier, labels: tuple[str, ...]) -> earmark.Classifier:
    """Return a classifier with other labels, and a verdict that names them."""
    rows = [{"label": label, "n": 3, "recall": 0.5} for label in labels]
    verdict = {"word": "care", "why": f"fewer than 10 clips of {', '.join(labels)}."}
    estimate = replace(classifier.estimate, classes=tuple(rows), verdict=verdict)
    return replace(classifier, labels=labels, estimate=estimate)


def card_of(classifier: earmark.Classifier, **settings: str) -> str:
    return model_card(classifier, REPO, licences_of(classifier), **settings)


def parts(card: str) -> tuple[dict, str]:
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_card_says_how_good_the_classifier_is(trained):
    front, body = parts(card_of(trained))
    estimate = trained.estimate
    low, high = estimate.interval
    assert f"95 % interval {low:.3f} to {high:.3f}" in body
    assert estimate.verdict is not None and "**Verdict: use" in body
    assert "- how it was tested: 5" in body and "accuracy of each fold: 1.000, 1.000" in body
    assert f"always the same class: {estimate.chance:.3f}" in body
    assert "12 clips in 2 classes" in body and trained.provenance["data"] in body
    assert "- `logmel`: Apache-2.0." in body
    assert f'earmark.load("hf://{REPO}")' in body and f"earmark predict hf://{REPO}" in body
    assert "## Limits" in body
    assert front["library_name"] == "earmark"
    assert front["pipeline_tag"] == "audio-classification"
    assert front["license"] == "unknown" and "base_model" not in front
    (metrics,) = (row["metrics"] for row in front["model-index"][0]["results"])
    assert metrics[0]["type"] == "accuracy" and metrics[0]["value"] == estimate.accuracy


def test_baselines_are_shown(trained):
    row = {"name": "mean of *log-mel*", "accuracy": 0.75, "n": 12}
    estimate = replace(trained.estimate, baselines=(row,))
    assert f"- {plain(row['name'])}: 0.750" in card_of(replace(trained, estimate=estimate))


def test_the_front_matter_is_what_the_hub_reads(trained):
    repocard = pytest.importorskip("huggingface_hub")
    card = repocard.ModelCard(card_of(trained, licence="cc-by-4.0"))
    assert card.data.license == "cc-by-4.0"
    assert card.data.eval_results[0].metric_type == "accuracy"
    assert card.data.model_name == "street-sounds"


def test_a_network_of_the_hub_is_the_base_model(trained):
    use = replace(trained.backbones[0], name="hf:bob/tiny@main")
    local = replace(trained.backbones[0], name="hf:/home/bob/tiny")
    front = front_matter(replace(trained, backbones=(use, local)), REPO, None)
    assert front["base_model"] == ["bob/tiny"]


def test_markup_in_labels_stays_text(trained):
    front, body = parts(card_of(named(trained, EVIL)))
    assert front == parts(card_of(trained))[0]
    assert "\x1b" not in body and "\u202e" not in body
    rows = [line for line in body.splitlines() if line.startswith("- ") and "recall 0.500" in line]
    assert len(rows) == len(EVIL)  # no label begins a line of its own
    assert not any(len(row) > 300 for row in rows)
    verdict = next(line for line in body.splitlines() if line.startswith("**Verdict"))
    assert "<" not in verdict and "http://" not in verdict
    assert "](" not in verdict.replace("\\](", "")
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert [h.lstrip("# ") for h in headings[1:]] == [
        "How to use it",
        "How good it is",
        "Classes",
        "Training data",
        "Networks and their licences",
        "Limits",
    ]


@pytest.mark.parametrize("text", EVIL)
def test_a_span_of_code_cannot_be_left(text: str):
    span = code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inside = span[len(fence) : -len(fence)]
    assert span.endswith(fence) and "\n" not in span
    assert fence not in inside.replace("`" * (len(fence) + 1), "")
    assert not inside.startswith("`") and not inside.endswith("`")


def test_cards_of_markdown_keep_labels_inert(trained):
    """A Markdown parser sees no link, image, HTML or heading that comes from a label."""
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    tokens = markdown.MarkdownIt("commonmark").parse(parts(card_of(named(trained, EVIL)))[1])
    inline = [child.type for token in tokens for child in token.children or ()]
    assert "link_open" not in inline and "image" not in inline and "html_inline" not in inline
    assert not any(token.type == "html_block" for token in tokens)
    html = markdown.MarkdownIt("commonmark").render(parts(card_of(named(trained, EVIL)))[1])
    assert "<script" not in html and "<img" not in html


def test_licences_that_limit_or_are_not_known_are_said(trained):
    entries = [
        NetworkLicence("a", "CC-BY-NC-4.0", "here"),
        NetworkLicence("b", "unknown", "there"),
        NetworkLicence("c", "see the checkpoint's model card", "there"),
        NetworkLicence("d", "Apache-2.0", "there", "NOTICE of d"),
    ]
    assert "commercial" in (entries[0].warning or "")
    assert "not known" in (entries[1].warning or "") and "not known" in (entries[2].warning or "")
    assert entries[3].warning is None
    body = model_card(trained, REPO, entries)
    assert body.count("**Note: ") == 3
    text = licences_text(entries)
    assert "NOTICE of d" in text and "Licence: CC-BY-NC-4.0" in text


def test_the_notice_of_a_network_goes_along(trained):
    pytest.importorskip("pyopen_wakeword")
    use = replace(trained.backbones[0], name="speech-embedding")
    (entry,) = licences_of(replace(trained, backbones=(use,)))
    assert entry.licence == "Apache-2.0" and "Google" in entry.notice
    assert "Apache License" in licences_text([entry]) and "Google" in licences_text([entry])


def test_a_network_that_is_not_here_has_no_known_licence(trained):
    use = replace(trained.backbones[0], name="onnx:gone.onnx")
    (entry,) = licences_of(replace(trained, backbones=(use,)))
    assert entry.licence == "unknown" and entry.warning


def test_a_detector_is_described_as_one(trained):
    from earmark.classifier.detector import Detector

    figures = {"overall": {"recall": 0.5, "f1_iou30": 0.25, "ci95": {"f1_iou30": [0.1, 0.4]}}}
    body = card_of(replace(trained, detector=Detector(0.5, 0.1, False, {}, figures)))
    assert 'classifier.detect("night.wav")' in body and f"earmark detect hf://{REPO}" in body
    assert "finds events of 2 classes" in body and "events found: 0.500" in body
    assert "overlap by 30 %: 0.250, 95 % interval 0.100 to 0.400" in body


@pytest.mark.parametrize("licence", ["MIT License", "a\nb", "", "x: y"])
def test_a_licence_is_an_identifier(licence: str):
    with pytest.raises(HubError, match="is not an identifier of the Hub"):
        check_licence(licence)


@pytest.mark.parametrize("file", sorted(OLD.glob("*.earmark")), ids=lambda file: file.stem)
def test_a_file_of_0_1_has_a_card_and_the_same_scores(file: Path, tmp_path):
    """They are of every kind: several heads, several classes a clip, fine-tuned weights."""
    old = earmark.load(file)
    repository = Repository.of(old, REPO)
    assert "## How good it is" in repository.files["README.md"].decode()
    (tmp_path / "model.earmark").write_bytes(repository.files["model.earmark"])
    new = earmark.load(tmp_path / "model.earmark")
    logits = old.head.logits(np.zeros((2, len(old.head.tensors["mean"])), np.float32))
    assert np.array_equal(old.calibrated(logits), new.calibrated(logits))
    assert all(np.array_equal(a, new.head.tensors[k]) for k, a in old.head.tensors.items())
    assert len(old.tuned) == len(new.tuned) and new.separator == old.separator
    assert new.decision_rule == old.decision_rule and new.features == old.features


def test_the_files_are_text(trained):
    files = Repository.of(trained, REPO, licence="mit").files
    assert files["README.md"].decode().startswith("---\nlibrary_name: earmark\n")
    assert "Apache License" in files["LICENSES.txt"].decode()
    assert files["LICENSES.txt"].decode().startswith("Network: logmel\nLicence: Apache-2.0\n")
