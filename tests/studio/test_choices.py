"""What the page for training offers, and defaults that train on small data."""

import json

import pytest

from command_line import earmark
from earmark.apps.studio.jobs import choices as choices_module
from earmark.apps.studio.jobs import networks as networks_module
from earmark.apps.studio.jobs.choices import choices
from earmark.apps.studio.jobs.commands import command
from earmark.backbones import list_backbones
from studio_folders import tones_folder


@pytest.fixture(autouse=True)
def _networks(monkeypatch):
    """Spare each test the process that lists the networks."""
    listed = json.loads(earmark("backbones", "list", "--json").stdout)["backbones"]
    rows = tuple(map(networks_module._network, listed))
    for module in (choices_module, networks_module):
        monkeypatch.setattr(module, "networks", lambda: rows)


def manifest(folder, rows, header="path,label,take"):
    (folder / "earmark.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def clips(n, classes="abc", takes=0):
    """Rows of n recordings of each class, in so many takes."""
    return [
        f"{label}{k}.wav,{label},{f'{label}-{k * takes // n}' if takes else ''}"
        for label in classes
        for k in range(n)
    ]


def test_every_network_is_offered_with_what_it_is_and_how_to_get_it(tmp_path):
    offered = choices(manifest(tmp_path, clips(5)))
    assert {row["name"] for row in offered["backbones"]} == set(list_backbones())
    for row in offered["backbones"]:
        assert row["about"].endswith((".", ")")) and row["licence"]
        assert row["fetch_command"] == f"earmark backbones fetch {row['name']}"
    logmel = next(row for row in offered["backbones"] if row["name"] == "logmel")
    assert logmel["is_at_hand"] and logmel["download_mb"] == 0
    assert all(row["minutes"] is None for row in offered["backbones"])  # there is no sound
    assert offered["heads"][0] == offered["layers"][0] == "auto" and offered["seconds"] > 0
    assert {*offered["heads"], *offered["finetunes"], "unknown"} <= set(offered["about"])
    json.dumps(offered, allow_nan=False)


def test_three_classes_of_five_recordings_need_nothing_else(tmp_path):
    offered = choices(manifest(tmp_path, clips(5)))
    assert offered["can_train"] and offered["reason"] is None
    assert offered["defaults"] == {
        "name": "classifier",
        "backbone": "auto",
        "head": "auto",
        "unknown": True,
    }


def test_few_recordings_are_tested_in_fewer_parts(tmp_path):
    offered = choices(manifest(tmp_path, [*clips(5, "ab"), *clips(4, "c")]))
    assert offered["defaults"]["folds"] == 4
    assert "in 4 parts instead of 5, because 'c' has only 4 recordings" in offered["notes"][-1]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "Nothing is labelled yet. Training needs at least two classes."),
        (clips(5, "a"), "There is only the class 'a'."),
        ([*clips(5), *clips(2, "de")], "'d' has only 2 recordings, and training needs at least 3"),
    ],
)
def test_what_cannot_be_trained_on_is_said(tmp_path, rows, says):
    offered = choices(manifest(tmp_path, rows))
    assert not offered["can_train"] and says in offered["reason"]


def test_takes_stay_together_where_each_class_has_two(tmp_path):
    two = choices(manifest(tmp_path, clips(6, takes=2)))
    assert two["defaults"]["group"] == two["group"] == "take"
    assert "stays together" in two["notes"][0]
    assert "folds" not in two["defaults"]
    one = choices(manifest(tmp_path, [*clips(6, "ab", takes=2), *clips(6, "c", takes=1)]))
    assert "group" not in one["defaults"] and "'c' has only one take." in one["notes"][0]
    some = choices(manifest(tmp_path, [*clips(6, "ab", takes=2), *clips(6, "c")]))
    assert "6 clips have no take." in some["no_groups"][0]["reason"]
    assert "group" not in some["defaults"]
    own = choices(manifest(tmp_path, clips(6, takes=6)))
    assert "a take of its own" in own["no_groups"][0]["reason"]


def test_other_columns_may_be_groups_and_the_column_group_is_one_already(tmp_path):
    rows = [f"{label}{k}.wav,{label},s{k % 3},g{k % 2}" for label in "ab" for k in range(6)]
    offered = choices(manifest(tmp_path, rows, "path,label,speaker,group"))
    assert [(group["name"], group["n_groups"]) for group in offered["groups"]] == [("speaker", 3)]
    assert "column 'group'" in offered["notes"][0] and "group" not in offered["defaults"]


def test_unknown_needs_three_classes_and_its_own_name(tmp_path):
    two = choices(manifest(tmp_path, clips(5, "ab")))
    assert two["defaults"]["unknown"] is False and "3 classes" in two["impossible"]["unknown"]
    rows = [*clips(5, "ab"), *(f"{k}.wav,Unknown," for k in range(5))]
    named = choices(manifest(tmp_path, rows))
    assert named["defaults"]["unknown"] is False and "'Unknown'" in named["impossible"]["unknown"]


def test_names_are_new_and_a_broken_manifest_is_said(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "classifier.earmark").touch()
    offered = choices(manifest(tmp_path, clips(5)))
    assert offered["name"] == "classifier 2" and offered["taken"] == ["classifier"]
    (tmp_path / "earmark.csv").write_text("label\na\n")
    assert not choices(tmp_path)["can_train"] and "path" in choices(tmp_path)["reason"]


def test_class_folders_without_a_manifest(tones):
    offered = choices(tones)
    assert offered["can_train"] and offered["groups"] == []
    assert offered["defaults"]["unknown"] is False


def test_the_defaults_train(tmp_path):
    folder = tones_folder(tmp_path / "two", takes=2)
    defaults = choices(folder)["defaults"]
    assert defaults["group"] == "take" and defaults["unknown"] is False
    argv = command(folder, "train", {**defaults, "backbone": "logmel", "no_compare": True})
    argv[1] = str(folder / "earmark.csv")
    earmark(*argv, "--no-store")
    assert (folder / "models" / "classifier.earmark").is_file()
