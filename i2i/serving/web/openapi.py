"""The OpenAPI document of the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from i2i import __version__
from i2i.images import WRITABLE
from i2i.serving.web.parameters import MEDIA
from i2i.serving.web.tensors import LONGEST_SIDE, MOST_AXES, TYPES

_BINARY = {"type": "string", "format": "binary"}
_BACKGROUND = "^(edge|[1-9]?[0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$"
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": list(TYPES)},
        "shape": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_AXES,
            "items": {"type": "integer", "minimum": 1, "maximum": LONGEST_SIDE},
        },
        "data": {"type": "array"},
    },
}
_TENSORS = {
    "type": "object",
    "required": ["inputs"],
    "properties": {"inputs": {"type": "array", "minItems": 1, "items": _TENSOR}},
}
_STATUSES = {
    "400": "Wrong parameters, or a malformed request.",
    "401": "A bearer token is needed.",
    "403": "A name or an origin that the service does not serve.",
    "404": "No such model, job or address.",
    "406": "No image format is acceptable.",
    "408": "The body came too slowly.",
    "409": "The video is not done.",
    "413": "More bytes, pixels, files or values as JSON than the limits.",
    "415": "Not an image or a video of a known format.",
    "422": "An image that is damaged, or that the model cannot take.",
    "429": "Too many requests wait; see Retry-After.",
    "500": "An error of the service.",
    "503": "The models are being loaded, the service stops, or its memory is full.",
    "504": "No result within the time limit.",
    "507": "No disk space.",
}


def document(models: Sequence[str]) -> dict[str, Any]:
    """Return the document of a service with these models."""
    parameters = [
        _query("to", {"type": "string"}, "Domain or attributes to translate to."),
        _query("seed", {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}, "Seed of a style."),
        _query("format", {"type": "string", "enum": [name.lower() for name in WRITABLE]}, "Format of the result."),
        _query("quality", {"type": "integer", "minimum": 0, "maximum": 100}, "Of JPEG, WebP and AVIF."),
        _query(
            "background",
            {"type": "string", "pattern": _BACKGROUND},
            "Under transparent pixels: edge, or a grey level.",
        ),
        _query("keep_metadata", {"type": "boolean"}, "Keep EXIF and XMP."),
    ]
    of_video = [each for each in parameters if each["name"] != "format"]
    files = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": _BINARY}, "style": _BINARY, "mask": _BINARY},
    }
    body = {"image/*": {"schema": _BINARY}, "application/octet-stream": {"schema": _BINARY}}
    images = {media: {"schema": _BINARY} for media in MEDIA.values()}
    named: dict[str, Any] = {"type": "string", "enum": list(models)} if models else {"type": "string", "minLength": 1}
    model, job = _path("model", named), _path("job", {"type": "string", "minLength": 1})
    paths = {
        "/v1/models": {"get": _operation("The loaded models.", {}, _json(), "401 403")},
        "/v1/translate/{model}": {
            "post": _operation(
                "Translate an image; several files come back as a zip archive.",
                {"requestBody": _body(body | {"multipart/form-data": {"schema": files}})},
                images | {"application/zip": {"schema": _BINARY}},
                "400 401 403 404 406 408 413 415 422 429 500 503 504",
                [model, *parameters],
            )
        },
        "/v1/video": {
            "post": _operation(
                "Translate a video, as a job.",
                {
                    "requestBody": _body(
                        {"video/*": {"schema": _BINARY}, "application/octet-stream": {"schema": _BINARY}}
                    )
                },
                _json(),
                "400 401 403 404 408 413 415 429 503 507",
                [_query("model", named, "Name of a model.", required=True), *of_video],
                "202",
            )
        },
        "/v1/jobs/{job}": {
            "get": _operation("State and progress.", {}, _json(), "401 403 404", [job]),
            "delete": _operation("Cancel a job, or delete its result.", {}, {}, "401 403 404", [job], "204"),
        },
        "/v1/jobs/{job}/result": {
            "get": _operation("The translated video.", {}, {"video/*": {"schema": _BINARY}}, "401 403 404 409", [job])
        },
        "/v2/health/live": {"get": _operation("The process answers.", {}, _json(), "")},
        "/v2/health/ready": {"get": _operation("All models are loaded and warm.", {}, _json(), "503")},
        "/v2": {"get": _operation("The service.", {}, _json(), "401 403")},
        "/v2/models/{model}": {"get": _operation("Inputs and outputs.", {}, _json(), "401 403 404", [model])},
        "/v2/models/{model}/ready": {"get": _operation("The model is loaded.", {}, _json(), "401 403 404", [model])},
        "/v2/models/{model}/infer": {
            "post": _operation(
                "Translate tensors (Open Inference Protocol).",
                {"requestBody": _body({"application/json": {"schema": _TENSORS}})},
                _json() | {"application/octet-stream": {"schema": _BINARY}},
                "400 401 403 404 408 413 415 422 429 500 503 504",
                [model],
            )
        },
        "/metrics": {"get": _operation("Metrics for Prometheus.", {}, {"text/plain": {}}, "401 403")},
    }
    problem = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {name: {"type": "string"} for name in ("type", "title", "detail")}
        | {"status": {"type": "integer"}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "i2i", "version": __version__, "summary": "Image-to-image translation."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(
    summary: str,
    more: dict[str, Any],
    content: dict[str, Any],
    errors: str,
    parameters: list | None = None,
    done: str = "200",
) -> dict[str, Any]:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    kinds = {"application/problem+json": problem, "application/json": problem}
    responses = {done: {"description": "Done.", **({"content": content} if content else {})}}
    responses |= {status: {"description": _STATUSES[status], "content": kinds} for status in errors.split()}
    return {"summary": summary, "parameters": parameters or [], "responses": responses, **more}


def _query(name: str, schema: dict[str, Any], text: str, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": text, "required": required}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _json() -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object"}}}
