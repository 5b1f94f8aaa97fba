"""The document of the service says exactly what it answers: Schemathesis tries to disprove it.

It sends requests that the document allows and requests that it forbids to a service on the
loopback, and compares every answer with the document. The processes of the service are stubs.
"""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("schemathesis", reason="the extra dev is not installed")

import jsonschema_rs

import earmark as library
from audio_files import encode
from earmark.apps.service import description, frames
from earmark.apps.service.computing import Computer
from earmark.apps.service.settings import Settings
from earmark.audio.reading import decode_ahead
from served import Stub, decoders, running
from tones import tone_detector, write_tones

TOKEN = "0123456789abcdef"
EXAMPLES = 10  # random ones of each operation, besides those that the document implies
PREDICTION = {
    "schema": 1, "model": "m", "label": "low", "labels": ["low"], "score": 0.9,
    "scores": {"low": 0.9}, "seconds": 1.0, "is_unknown": False,
}  # fmt: skip
EVENTS = [{"start": 0.0, "end": 0.5, "label": "low", "score": 0.9}]
DETECTION = {"schema": 1, "model": "d", "seconds": 1.0, "regions": None, "events": EVENTS}
OF_A_MODEL = {"labels": ["low"], "backbones": ["logmel"], "digest": "0" * 64, "warning": None}


class Computers(Stub):
    """Stands for processes with a classifier and a detector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        paths = {"m": "/v1/predict", "other": "/v1/predict", "d": "/v1/detect"}
        models = [{"name": name, "path": path, **OF_A_MODEL} for name, path in paths.items()]
        self.hello = {"models": models}

    async def ask(self, message, deadline, begins=None):
        self.answer = ({}, json.dumps(DETECTION if b'"d"' in message else PREDICTION).encode())
        return await super().ask(message, deadline, begins)


HOOKS = """
import schemathesis
from hypothesis import strategies

schemathesis.openapi.format("binary", strategies.binary(min_size=1, max_size=1_000))

for kind in ("audio/*", "video/*", "application/ogg"):
    @schemathesis.serializer(kind)
    def as_it_is(context, value):
        return getattr(value, "data", value) or None
"""


async def schemathesis_run(port: int, folder: Path) -> tuple[int, str]:
    """Run Schemathesis against the service on a port; return its exit code and its report."""
    (folder / "hooks_of_a_test.py").write_text(HOOKS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run",
        f"http://127.0.0.1:{port}/openapi.json",
        "--header", f"Authorization: Bearer {TOKEN}",
        "--checks", "all", "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(EXAMPLES), "--generation-deterministic", "--seed", "1",
        "--no-color",
        cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks_of_a_test"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def test_the_service_answers_as_its_document_says(tmp_path):
    async def test() -> None:
        settings = Settings({"m": Path("m.earmark")}, token=TOKEN)
        async with running(settings, decoders(), Computers(({}, b""))) as port:
            code, report = await schemathesis_run(port, tmp_path)
            assert code == 0, report
            assert "6 selected / 6 total" in report
            assert int(re.search(r"(\d+) generated", report)[1]) > 100

    asyncio.run(asyncio.wait_for(test(), 120))


def test_real_answers_have_the_form_of_the_document(tmp_path, tones):
    training = library.train(tones, backbone="logmel", head="linear", compare=False)
    training.classifier.save(tmp_path / "m.earmark")
    tone_detector(tmp_path / "detector")
    write_tones(tmp_path / "night.flac")
    models = {"m": str(tmp_path / "m.earmark"), "d": str(tmp_path / "tones.earmark")}
    computer = Computer({"models": models, "allow_remote": False})
    form = jsonschema_rs.validator_for(description.MODELS)
    form.validate({"models": computer.hello()["models"]})
    noise = np.random.default_rng(0).normal(0, 20.0, (16_000, 1)).astype(np.float32)
    for content in ((tmp_path / "night.flac").read_bytes(), encode(noise, "WAV", "FLOAT")):
        packed = frames.pack(*decode_ahead(content, 600, 2**26, name="it").pack())
        asked = {"model": "m", "top": 1, "coverage": 0.9, "is_decoded": True}
        for schema, value in (
            (description.PREDICTION, asked),
            (description.DETECTION, {"model": "d", "is_decoded": True}),
        ):
            ((told, answer),) = computer.answer([(value, packed)])
            assert told == {}
            form = jsonschema_rs.validator_for(schema)
            form.validate(json.loads(answer))
            assert not form.is_valid({**json.loads(answer), "more": 1})
