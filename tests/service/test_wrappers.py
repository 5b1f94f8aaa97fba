"""A session in Ray Serve and in KServe: with the packages where they are installed.

Elsewhere a module stands for each that has the same names and calls them in the same order.
"""

import asyncio
import base64
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from starlette.requests import Request

import earmark as library
from audio_files import encode, noise

FOLDER = Path(__file__).parents[2] / "examples" / "serve"


class Deployment:
    """What ``ray.serve.deployment`` makes of a class: ``bind`` keeps the arguments of a replica."""

    def __init__(self, made: type, options: dict[str, object]) -> None:
        self.func_or_class, self.options = made, options

    def bind(self, *arguments: object) -> SimpleNamespace:
        return SimpleNamespace(replica=lambda: self.func_or_class(*arguments))


class Model:
    """The base class of KServe's models, as far as a model uses it."""

    def __init__(self, name: str) -> None:
        self.name, self.ready = name, False


class InvalidInputError(ValueError):
    """KServe answers 400 to it."""


def stand_in(monkeypatch, name: str, **names: object) -> None:
    module = ModuleType(name)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def classifier(tones, tmp_path, monkeypatch):
    training = library.train(tones, backbone="logmel", head="linear", compare=False)
    training.classifier.save(tmp_path / "mine.earmark")
    monkeypatch.setenv("EARMARK_MODEL", str(tmp_path / "mine.earmark"))
    monkeypatch.setenv("EARMARK_MAX_SECONDS", "5")
    return training.classifier


def request(body: bytes) -> Request:
    """A request whose body comes in two parts."""
    parts = [body[:7], body[7:]]

    async def receive() -> dict[str, object]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_a_session_in_ray_serve(classifier, tones, monkeypatch):
    if importlib.util.find_spec("ray") is None:
        serve = SimpleNamespace(deployment=lambda **options: lambda made: Deployment(made, options))
        stand_in(monkeypatch, "ray", serve=serve)
    module = imported("ray_serve")
    ears = module.Ears.func_or_class(str(tones.parent / "mine.earmark"))

    def answer(body: bytes) -> tuple[int, bytes]:
        reply = asyncio.run(type(ears).__call__(ears, request(body)))
        return reply.status_code, reply.body

    path = tones / "low" / "3.wav"
    status, body = answer(path.read_bytes())
    assert status == 200 and b'"labels":["low"]' in body
    assert str(classifier.predict(path).scores["low"]).encode() in body
    assert answer(b"no sound")[0] == 422 and b"not audio" in answer(b"no sound")[1]
    assert answer(encode(noise(6 * 16_000), "WAV"))[0] == 422
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert answer(path.read_bytes())[0] == 413


def test_a_session_in_kserve(classifier, tones, monkeypatch):
    if importlib.util.find_spec("kserve") is None:
        stand_in(monkeypatch, "kserve", Model=Model)
        stand_in(monkeypatch, "kserve.errors", InvalidInput=InvalidInputError)
    module = imported("kserve_model")
    model = module.Ears("ears")
    assert not model.ready and model.load() and model.ready
    path = tones / "low" / "3.wav"
    sounds = [path.read_bytes(), b"no sound"]
    instances = [{"b64": base64.b64encode(sound).decode()} for sound in sounds]
    value = asyncio.run(model.predict({"instances": instances}))
    first, second = value["predictions"]
    assert first == {"labels": ("low",), "scores": classifier.predict(path).scores}
    assert "not audio" in second["error"]
    for wrong in ({}, {"instances": [1]}, {"instances": [{"b64": "!"}]}, {"instances": None}):
        with pytest.raises(module.InvalidInput):
            asyncio.run(model.predict(wrong))
