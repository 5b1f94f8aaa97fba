"""A process that computes at once: its classifiers are files of text, which its answers repeat."""

import os
from pathlib import Path
from typing import Any

from earmark.apps.service import child, frames
from earmark.errors import EarmarkError


def role(_: str, settings: dict[str, Any]) -> tuple[dict[str, Any], child.Handler]:
    """A text of `detector` is one that answers /v1/detect; `damaged` cannot be loaded."""
    texts = {name: Path(path).read_text() for name, path in settings["models"].items()}
    for name, path in settings["models"].items():
        if texts[name] == "damaged":
            raise EarmarkError(f"{path} is damaged. Copy it again.")
    models = [
        {
            "name": name,
            "path": "/v1/detect" if text == "detector" else "/v1/predict",
            "digest": f"digest of {text}",
        }
        for name, text in texts.items()
    ]

    def answer(messages: list[frames.Message]) -> list[frames.Message]:
        answers = []
        for value, _ in messages:
            if texts[value["model"]] == "ends":
                os._exit(3)
            answers.append(({}, texts[value["model"]].encode()))
        return answers

    return {"models": models}, answer


if __name__ == "__main__":
    child.main(role)
