"""What all operations share in the OpenAPI document: shapes, headers, security schemes, and refusals as responses."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from kernel.http.problems import JSON, PROBLEM_JSON, response_to

Schema = dict[str, Any]
Refusal = Exception | type[Exception]


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


_CODE = _text("Stable, for programs.")
SCHEMAS: Mapping[str, Schema] = {
    "Error": {
        "type": "object",
        "description": "Refused before the work started.",
        "required": ["error"],
        "properties": {
            "error": _text("For people."),
            "code": {**_CODE, "description": "Only where a program has to decide."},
            "requestId": _text("Of an unexpected failure (500): the log has it, too."),
        },
    },
    "Refusal": {
        "type": "object",
        "description": "Refused by the work itself. Nothing has changed.",
        "required": ["success", "message"],
        "properties": {
            "success": {"const": False},
            "message": _text("For people."),
            "code": {**_CODE, "description": "Only where a program has to decide."},
        },
    },
    "Problem": {
        "type": "object",
        "description": "Any refusal, for who sends `Accept: application/problem+json` (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": _text("`urn:ticketservice:` and the code in lower case.", format="uri"),
            "title": _text("The code."),
            "status": {"type": "integer"},
            "detail": _text("For people."),
            "code": _CODE,
        },
    },
}
HEADERS: Mapping[str, Schema] = {
    "ETag": {
        "description": "Names this answer. Sent back in `If-None-Match`, it gets a 304 for as long as nothing changes.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}},
    "X-Request-Id": {
        "description": "The caller's own, or one that was made. In every answer.",
        "schema": {"type": "string"},
    },
}
PARAMETERS: Mapping[str, Schema] = {
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an earlier answer: 304 if it still holds.",
        "schema": {"type": "string"},
    },
}
SECURITY_SCHEMES: Mapping[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's token, from the Auth Service.",
    },
    "internalToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Internal-Token",
        "description": "Shared with other services (`INTERNAL_API_TOKEN`).",
    },
}


def ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


# --- Refusals ---------------------------------------------------------------------------------------------------------


def responses_of(refusals: Sequence[Refusal]) -> dict[str, Schema]:
    """The responses by status, with an example for each code and shape."""
    raised = [refusal() if isinstance(refusal, type) else refusal for refusal in refusals]
    by_status = sorted(raised, key=lambda refusal: response_to(refusal, wants_problem=True)[0])
    return {
        str(status): _response_of(list(group))
        for status, group in groupby(by_status, lambda refusal: response_to(refusal, wants_problem=True)[0])
    }


def _response_of(refusals: Sequence[Exception]) -> Schema:
    """The response of one status."""
    plain: dict[str, Schema] = {}
    problems: dict[str, Schema] = {}
    shapes: dict[str, Schema] = {}
    headers: dict[str, Schema] = {}
    for refusal in refusals:
        _, problem, sent = response_to(refusal, wants_problem=True)
        _, body, _ = response_to(refusal, wants_problem=False)
        if "requestId" in body:
            body["requestId"] = "6f1f0b0c9d0e4c3f8a4f2f9d1c3b5a77"
            headers["X-Request-Id"] = ref("headers", "X-Request-Id")
        name = _unused(problem["code"], plain)
        plain[name], problems[name] = {"value": body}, {"value": problem}
        _add_shape(shapes, body)
        headers |= {header: ref("headers", header) for header in sent}
    codes = sorted({example["value"]["code"] for example in problems.values()})
    problem_schema = {"allOf": [ref("schemas", "Problem"), {"properties": {"code": {"enum": codes}}}]}
    (_, any_shape), *others = shapes.items()
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        **({"headers": headers} if headers else {}),
        "content": {
            JSON: {"schema": {"anyOf": list(shapes.values())} if others else any_shape, "examples": plain},
            PROBLEM_JSON: {"schema": problem_schema, "examples": problems},
        },
    }


def _add_shape(shapes: dict[str, Schema], body: Mapping[str, Any]) -> None:
    """Adds the schema of a body. One that shows its code promises it, and which ones there are."""
    name = "Error" if "error" in body else "Refusal"
    if "code" not in body:
        shapes[name] = ref("schemas", name)
        return
    coded = shapes.setdefault(
        f"{name} with code",
        {"allOf": [ref("schemas", name), {"required": ["code"], "properties": {"code": {"enum": []}}}]},
    )
    coded["allOf"][1]["properties"]["code"]["enum"].append(body["code"])


def _unused(code: str, names: Mapping[str, Any]) -> str:
    """A code may have several messages at one status."""
    count = sum(re.fullmatch(rf"{code}(\.\d+)?", name) is not None for name in names)
    return f"{code}.{count + 1}" if count else code


# --- Hooks of drf-spectacular -----------------------------------------------------------------------------------------


def add_components(result: Schema, **_: Any) -> Schema:
    components = result["components"]
    for kind, members in (
        ("schemas", SCHEMAS),
        ("headers", HEADERS),
        ("parameters", PARAMETERS),
        ("securitySchemes", SECURITY_SCHEMES),
    ):
        components[kind] = {**components.get(kind, {}), **members}
    return result
