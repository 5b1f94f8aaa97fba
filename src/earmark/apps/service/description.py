"""The description of the service for programs (OpenAPI): bodies, answers and problems."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from earmark.apps.service.problems import MEDIA_TYPE
from earmark.apps.service.settings import DETECT, PREDICT

BINARY = {"type": "string", "format": "binary", "minLength": 1}
BODY = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": BINARY},
        "application/ogg": {"schema": BINARY},
        "audio/*": {"schema": BINARY},
        "video/*": {"schema": BINARY},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}
        },
    },
}
TEXTS = {"type": "array", "items": {"type": "string"}}
NUMBER, COUNT = {"type": "number"}, {"type": "integer"}


def _exact(properties: Mapping[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of an object that has these keys and no others."""
    required = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


PREDICTION = _exact(
    {
        "schema": COUNT,
        "model": {"type": "string"},
        "label": {"type": ["string", "null"]},
        "labels": TEXTS,
        "score": NUMBER,
        "scores": {"type": "object", "additionalProperties": NUMBER},
        "seconds": NUMBER,
        "is_unknown": {"type": "boolean"},
        "nearest": {"type": "string"},
        "plausible": TEXTS,
        "warnings": TEXTS,
        "notes": TEXTS,
    },
    optional=("nearest", "plausible", "warnings", "notes"),
)
EVENT = _exact({"start": NUMBER, "end": NUMBER, "label": {"type": "string"}, "score": NUMBER})
DETECTION = _exact(
    {
        "schema": COUNT,
        "model": {"type": "string"},
        "seconds": NUMBER,
        "regions": {"type": "null"},
        "events": {"type": "array", "items": EVENT},
        "warnings": TEXTS,
    },
    optional=("warnings",),
)
MODEL = {
    "type": "object",  # with more keys in later versions
    "properties": {
        "name": {"type": "string"},
        "path": {"type": "string", "enum": [PREDICT, DETECT]},
        "labels": TEXTS,
        "backbones": TEXTS,
        "digest": {"type": "string"},
        "warning": {"type": ["string", "null"]},
    },
    "required": ["name", "path", "labels", "backbones", "digest", "warning"],
}
MODELS = _exact({"models": {"type": "array", "items": MODEL}})
PROBLEM = _exact(
    {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    }
)
SCHEMAS = {
    "Prediction": PREDICTION,
    "Detection": DETECTION,
    "Models": MODELS,
    "Problem": PROBLEM,
}
HEADERS = {  # that a problem of this status always has
    401: ("WWW-Authenticate", {"type": "string", "const": "Bearer"}),
    405: ("Allow", {"type": "string"}),
    503: ("Retry-After", {"type": "integer", "minimum": 1}),
}
WHEN = {
    400: "The request is not valid HTTP, or its connection ended too early.",
    401: "The token is missing or wrong.",
    403: "The name of the host, or the origin of a web page, is not allowed.",
    405: "The path does not take this method.",
    408: "The header or the body came too slowly.",
    413: "The body has too many bytes, or the recording too many seconds.",
    415: "The type of the body is not that of a recording or a form.",
    422: "The recording cannot be read, or an option is wrong.",
    431: "The header has too many bytes.",
    503: "The queue is full, too many connections are open, or a process starts again.",
    504: "The answer took longer than the deadline.",
}
ALWAYS = (400, 403, 405, 408, 431, 503)  # before any path is looked at, or whatever it is
OF_RECORDINGS = (413, 415, 422, 504)
SECURITY = {"token": {"type": "http", "scheme": "bearer", "description": "With --token only."}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of these statuses, and of those that every path has."""
    return {status: _problem(status) for status in sorted({*ALWAYS, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": WHEN[status],
        "content": {MEDIA_TYPE: {"schema": _named("Problem")}},
    }
    if status in HEADERS:
        name, schema = HEADERS[status]
        response["headers"] = {name: {"required": True, "schema": schema}}
    return response


def of_recordings(schema: str) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a path that takes a recording; ``schema`` names its answer."""
    return of_json(schema) | problems(401, *OF_RECORDINGS)


def of_json(schema: str) -> dict[int | str, dict[str, Any]]:
    """Return the response that is not a problem; ``schema`` names its JSON."""
    content = {"application/json": {"schema": _named(schema)}}
    return {200: {"description": "The answer.", "content": content}}


def of_text(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Return the response that is text."""
    content = {media_type: {"schema": {"type": "string"}}}
    return {200: {"description": "The answer.", "content": content}}


def of_status(text: str) -> dict[int | str, dict[str, Any]]:
    """Return the response ``{"status": text}``."""
    schema = _exact({"status": {"type": "string", "const": text}})
    return {200: {"description": "It is so.", "content": {"application/json": {"schema": schema}}}}


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def complete(
    document: dict[str, Any], models: Iterable[Mapping[str, Any]], has_token: bool
) -> dict[str, Any]:
    """Return the document of FastAPI with schemas, names of models, and who may ask.

    ``models`` are those of ``/v1/models``; their names are the values that ``?model=`` takes.
    """
    document = copy.deepcopy(document)
    components = document.setdefault("components", {})
    components["schemas"] = SCHEMAS
    known = list(models)
    for path, methods in document["paths"].items():
        names = [model["name"] for model in known if model["path"] == path]
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                _make_exact(parameter, names)
            if has_token and "401" in operation["responses"]:
                operation["security"] = [{"token": []}]
    if has_token:
        components["securitySchemes"] = SECURITY
    return document


def _make_exact(parameter: dict[str, Any], names: list[str]) -> None:
    """Take out null, which no query can send, and put in the names of models."""
    schema = parameter["schema"]
    for choice in schema.pop("anyOf", ()):
        if choice != {"type": "null"}:
            schema |= choice
    if parameter["name"] == "model" and names:
        schema["enum"] = names
