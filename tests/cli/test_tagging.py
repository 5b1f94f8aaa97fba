"""`earmark tag`: AudioSet's classes without training, on real recordings."""

import csv
import io
import json

import pytest

from command_line import earmark
from earmark.classifier.tagging import tag
from earmark.errors import BackboneError, EarmarkError
from shared_data import shared_data, shared_weights


def test_three_forms_in_the_order_given(tmp_path):
    shared_weights("mn04/mn04_as_mAP_432.pt")
    esc = shared_data("esc10")
    dog, rain = (sorted((esc / name).glob("*.ogg"))[1] for name in ("dog_bark", "rain"))
    (tmp_path / "no.wav").write_text("no sound")
    files = [dog, tmp_path / "no.wav", rain]
    told = [json.loads(x) for x in earmark("tag", *files, "--json", expect=1).stdout.splitlines()]
    assert [t["path"] for t in told] == list(map(str, files))
    assert "Dog" in told[0]["tags"] and told[1]["error"] and len(told[2]["tags"]) == 5
    rows = list(csv.DictReader(io.StringIO(earmark("tag", *files, "--csv", expect=1).stdout)))
    assert [row["path"] for row in rows] == [str(dog)] * 5 + [str(files[1])] + [str(rain)] * 5
    assert rows[5]["error"] and not rows[5]["tag"]
    text = earmark("tag", dog, rain, "--top", "2").stdout.splitlines()
    assert len(text) == 2 and text[1].startswith(str(rain))


def test_a_network_without_classes_is_refused(tones):
    done = earmark("tag", tones, "--backbone", "speech-embedding", expect=2)
    assert "has no classes of its own. Use one that has: efficientat-mn04" in done.stderr
    with pytest.raises(BackboneError, match="no backbone 'yamnett'. Did you mean 'yamnet'"):
        tag([], "yamnett")
    with pytest.raises(EarmarkError, match="top is 0"):
        tag([], top=0)
