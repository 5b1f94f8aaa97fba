"""A GPU computes the recordings that wait together. Here a CPU does, which computes the same."""

import io
import json
import os

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from audio_files import encode
from earmark.apps.service import child, computing, frames
from earmark.audio.reading import decode_ahead
from earmark.backbones import load_backbone
from made_classifier import made_classifier

OPTIONS = {"model": "m", "top": 2, "coverage": None, "is_decoded": True}


@pytest.fixture(scope="module")
def computer(tmp_path_factory) -> computing.Computer:
    path = tmp_path_factory.mktemp("batches") / "m.earmark"
    made_classifier([load_backbone("speech-embedding")]).save(path)
    return computing.Computer({"models": {"m": str(path)}, "allow_remote": False})


def message(seconds: float, **options: object) -> frames.Message:
    rng = np.random.default_rng(round(100 * seconds))
    x = rng.normal(0, 0.1, (round(16_000 * seconds), 1)).astype(np.float32)
    packed, samples = decode_ahead(encode(x, "WAV"), 100, 2**24, name="x").pack()
    return {**OPTIONS, **options}, frames.pack(packed, samples)


def test_recordings_that_are_computed_together_get_their_own_answers(computer):
    messages = [
        message(0.5),
        message(1.0),
        message(1.5, top=1),
        message(0.5),
    ]
    refused = message(1.0, coverage=0.9)  # this classifier has no plausible classes
    *_, (error, _) = computer.answer([*messages, refused])
    assert "coverage" in error["error"]
    alone = [computer.answer([one])[0] for one in messages]
    together = computer.answer(messages)
    assert len({body for _, body in alone}) == 3
    for (_, one), (_, other), (options, _) in zip(alone, together, messages, strict=True):
        first, second = json.loads(one), json.loads(other)
        scores, found = first.pop("scores"), second.pop("scores")
        assert first.pop("score") == pytest.approx(second.pop("score"), abs=1e-5)
        assert first == second
        assert found == pytest.approx(scores, abs=1e-5)
        assert len(found) == options["top"]


def test_messages_that_have_come_are_a_batch():
    packed = [frames.pack({"n": n}) for n in range(7)]
    batches = list(child._batches(io.BytesIO(b"".join(packed)), 1))
    assert [[value["n"] for value, _ in batch] for batch in batches] == [[n] for n in range(7)]
    near, far = os.pipe()
    with open(near, "rb") as source, open(far, "wb", buffering=0) as target:
        target.write(b"".join(packed[:5]))
        found, sizes = [], []
        for batch in child._batches(source, 3):
            found += [value["n"] for value, _ in batch]
            sizes.append(len(batch))
            if len(found) == 5:
                target.write(b"".join(packed[5:]))
                target.close()
    assert found == list(range(7)) and max(sizes) <= 3
