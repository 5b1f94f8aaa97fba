"""The commands that the page shows are commands that run."""

import shlex
from pathlib import Path

import pytest
import typer.main

from earmark.apps.cli.app import app
from earmark.apps.studio.jobs.commands import KINDS, command, command_text, free_name
from earmark.errors import EarmarkError

CASES = {
    "doctor": [{}, {"quick": True, "group": "speaker"}],
    "fix": [{}, {"kinds": ["silent", "near copies"], "quick": True}],
    "train": [
        {"name": "Vögel 2"},
        {
            "name": "a",
            "backbone": "logmel",
            "head": "linear",
            "layers": "last",
            "group": "take",
            "folds": 3,
            "seed": 7,
            "unknown": 0.1,
            "no_compare": True,
        },
        {"name": "a", "finetune": "last:2"},
        {"name": "a", "detector": True, "unknown": False},
    ],
    "review": [{}, {"name": "r", "top": 5, "backbone": "logmel"}, {"model": "a"}],
    "apply": [{"name": "r"}],
    "export": [{"model": "a"}, {"model": "a", "to": "onnx16"}, {"model": "a", "to": "web"}],
    "push": [{"model": "a", "repo": "me/mine", "public": True, "licence": "cc-by-4.0"}],
    "predict": [{"model": "a"}],
    "detect": [{"model": "a"}, {"model": "a", "threshold": 0.5}],
    "stream": [{"model": "a"}],
    "fetch": [{"name": "yamnet"}],
    "index": [{"name": "nights"}, {"name": "nights", "source": "field", "backbone": "logmel"}],
    "label": [{"archive": "nights", "name": "owl"}],
    "studio": [{}],
}
LATER = ("label", "studio")  # commands that a version may not have


def parsed(argv):
    """Return the name and the values of a command as the command line understands them."""
    group, words, context = typer.main.get_command(app), list(argv), None
    while hasattr(group, "commands"):
        context = group.make_context(group.name, words[:1], parent=context)
        name, group, _ = group.resolve_command(context, words[:1])
        words = words[1:]
    return name, group.make_context(name, words, parent=context).params


def test_every_kind_has_a_case():
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "choices"), [(kind, c) for kind, cases in CASES.items() for c in cases]
)
def test_every_command_is_one_that_the_command_line_takes(tmp_path, kind, choices):
    argv = command(tmp_path, kind, choices, recordings={"field": tmp_path / "field"})
    assert shlex.split(command_text(argv)) == ["earmark", *argv]
    if kind in LATER and kind not in typer.main.get_command(app).commands:
        pytest.skip(f"this version has no command `{kind}`")
    name, values = parsed(argv)
    assert name == {"fix": "doctor", "apply": "review"}.get(kind, kind)
    places = [values.get("model"), values.get("output"), *(values.get("paths") or [])]
    places = [place for place in places if place is not None and place != "auto"]
    assert all(Path(place).is_relative_to(tmp_path) for place in places)


def test_train_says_unknown_unless_it_is_switched_off(tmp_path):
    words = command(tmp_path, "train", {"name": "a", "backbone": "auto", "head": "auto"})
    assert "auto" not in words
    assert words[words.index("--unknown") + 1] == "0.2"
    assert "--unknown" not in command(tmp_path, "train", {"name": "a", "unknown": False})
    assert "--unknown" not in command(tmp_path, "train", {"name": "a", "finetune": "lora"})
    with pytest.raises(EarmarkError, match="Switch one of them off"):
        command(tmp_path, "train", {"name": "a", "finetune": "lora", "unknown": True})


@pytest.mark.parametrize(
    ("kind", "choices", "why"),
    [
        ("tran", {}, "Did you mean 'train'"),
        ("train", {}, "name of the classifier is missing"),
        ("train", {"name": "../a"}, "cannot be used"),
        ("train", {"name": ".a"}, "cannot be used"),
        ("train", {"name": "a."}, "cannot be used"),
        ("train", {"name": "a" * 81}, "cannot be used"),
        ("train", {"name": "con.x"}, "Windows"),
        ("train", {"name": 3}, "cannot be used"),
        ("train", {"name": "a", "path": "/etc"}, "no choice 'path'"),
        ("train", {"name": "a", "backbone": "--report=/etc"}, "short text"),
        ("train", {"name": "a", "backbone": "a\nb"}, "short text"),
        ("train", {"name": "a", "folds": True}, "whole number from 2"),
        ("train", {"name": "a", "unknown": 1.5}, "between 0 and 1"),
        ("train", {"name": "a", "detector": "yes"}, "true or false"),
        ("fix", {"kinds": []}, "list of names"),
        ("fix", {"kinds": ["--all"]}, "short text"),
        ("export", {"model": "a", "to": "exe"}, "onnx16"),
        ("export", {"model": "a/../../b"}, "no classifier"),
        ("export", {"model": "..\\b"}, "no classifier"),
        ("detect", {"model": "a", "threshold": True}, "between 0 and 1"),
        ("index", {"name": "a", "source": "/etc"}, "Start it with --recordings"),
        ("index", {"name": "../a"}, "cannot be used"),
        ("train", {"name": "a", "archive": "../a"}, "cannot be used"),
    ],
)
def test_wrong_choices_are_refused_with_a_sentence(tmp_path, kind, choices, why):
    with pytest.raises(EarmarkError, match=why):
        command(tmp_path, kind, choices)


def test_a_review_gets_a_name_that_is_free(tmp_path):
    assert free_name(tmp_path) == "review"
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "review.csv").touch()
    assert command(tmp_path, "review", {})[3].endswith("review 2.csv")
