"""Components that all operations of the OpenAPI document share: schemas, headers, security schemes, error responses."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from kernel.http.problems import JSON, PROBLEM_JSON, render_error

Schema = dict[str, Any]
DocumentedError = Exception | type[Exception]


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


_CODE = _text("Stable, for programs.")
_DETAILS = {
    "type": "object",
    "description": "What the code alone does not tell. Only with some codes: see the examples.",
}
SCHEMAS: Mapping[str, Schema] = {
    "Error": {
        "type": "object",
        "description": "Rejected before the operation started.",
        "required": ["error"],
        "properties": {
            "error": _text("For people."),
            "code": {**_CODE, "description": "Only where a program depends on it."},
            "details": _DETAILS,
            "requestId": _text("Only with 500. The log has it, too."),
        },
    },
    "Rejection": {
        "type": "object",
        "description": "Rejected by the operation. Nothing has changed.",
        "required": ["success", "message"],
        "properties": {
            "success": {"const": False},
            "message": _text("For people."),
            "code": {**_CODE, "description": "Only where a program depends on it."},
            "details": _DETAILS,
        },
    },
    "Problem": {
        "type": "object",
        "description": "Any error, with `Accept: application/problem+json` (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": _text("`urn:ticketservice:` and the code in lower case.", format="uri"),
            "title": _text("The code."),
            "status": {"type": "integer"},
            "detail": _text("For people."),
            "code": _CODE,
            "details": _DETAILS,
        },
    },
}
HEADERS: Mapping[str, Schema] = {
    "ETag": {
        "description": "Version of this response. In `If-None-Match` it gets a 304 while nothing has changed.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds to wait before another try.", "schema": {"type": "integer"}},
    "RateLimit": {
        "description": "The limit that has refused: `r` requests are left, and after `t` seconds there is one again.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The same limit: quota `q` in a window of `w` seconds.",
        "schema": {"type": "string"},
    },
    "X-Request-Id": {
        "description": "The client's own, or a generated one. In every response.",
        "schema": {"type": "string"},
    },
}
PARAMETERS: Mapping[str, Schema] = {
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an earlier response: 304 if it is still current.",
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
        "description": "Shared secret of the services (`INTERNAL_API_TOKEN`).",
    },
}


def ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


# --- Errors -----------------------------------------------------------------------------------------------------------


def error_responses(errors: Sequence[DocumentedError]) -> dict[str, Schema]:
    """Return the responses to these exceptions by status, with an example for each code and body."""
    raised = [error() if isinstance(error, type) else error for error in errors]
    by_status = sorted(raised, key=_status_of)
    return {str(status): _response_to(list(group)) for status, group in groupby(by_status, _status_of)}


def _status_of(error: Exception) -> int:
    return render_error(error, as_problem=True)[0]


def _response_to(errors: Sequence[Exception]) -> Schema:
    """Return the response of one status."""
    plain: dict[str, Schema] = {}
    problems: dict[str, Schema] = {}
    schemas: dict[str, Schema] = {}
    headers: dict[str, Schema] = {}
    for error in errors:
        _, problem, error_headers = render_error(error, as_problem=True)
        _, body, _ = render_error(error, as_problem=False)
        if "requestId" in body:
            body["requestId"] = "6f1f0b0c9d0e4c3f8a4f2f9d1c3b5a77"
            headers["X-Request-Id"] = ref("headers", "X-Request-Id")
        name = _unused(problem["code"], plain)
        plain[name], problems[name] = {"value": body}, {"value": problem}
        _add_schema(schemas, body)
        headers |= {header: ref("headers", header) for header in error_headers}
    codes = sorted({example["value"]["code"] for example in problems.values()})
    problem_schema = {"allOf": [ref("schemas", "Problem"), {"properties": {"code": {"enum": codes}}}]}
    (_, schema), *others = schemas.items()
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        **({"headers": headers} if headers else {}),
        "content": {
            JSON: {"schema": {"anyOf": list(schemas.values())} if others else schema, "examples": plain},
            PROBLEM_JSON: {"schema": problem_schema, "examples": problems},
        },
    }


def _add_schema(schemas: dict[str, Schema], body: Mapping[str, Any]) -> None:
    """Add the schema of a body. For bodies with a code, `code` is required, and its values are listed."""
    name = "Error" if "error" in body else "Rejection"
    if "code" not in body:
        schemas[name] = ref("schemas", name)
        return
    coded = schemas.setdefault(
        f"{name} with code",
        {"allOf": [ref("schemas", name), {"required": ["code"], "properties": {"code": {"enum": []}}}]},
    )
    coded["allOf"][1]["properties"]["code"]["enum"].append(body["code"])


def _unused(code: str, names: Mapping[str, Any]) -> str:
    """Return a name for an example: a code may have several messages at one status."""
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
