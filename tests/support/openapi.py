"""The OpenAPI document as something that real answers are held against."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import jsonschema
import jwt
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.harness import INTERNAL, TOKENS, Answer, Api, token

JSON, PROBLEM = "application/json", "application/problem+json"
BUYER = TOKENS["users"]["user_a"]["userId"]
ADMINISTRATOR = {"Authorization": f"Bearer {token(TOKENS['users']['admin']['userId'], role='admin')}"}
NOBODY = {"Authorization": f"Bearer {jwt.encode({'role': 'user'}, TOKENS['jwt_secret'], algorithm='HS256')}"}
GARBAGE = {"Authorization": "Bearer garbage"}

Said = tuple[str, str]  # an operation, and a status with its code if it has one

formats = jsonschema.FormatChecker(formats=())


@formats.checks("uuid", raises=ValueError)
def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value


@dataclass
class Operation:
    id: str
    method: str
    path: str
    described: dict[str, Any]

    @property
    def pointer(self) -> str:
        return f"paths/{self.path.replace('/', '~1')}/{self.method.lower()}"

    @property
    def is_signed_in(self) -> bool:
        return {"bearer": []} in self.described.get("security", [])

    @property
    def is_internal(self) -> bool:
        return {"internalToken": []} in self.described.get("security", [])

    @property
    def is_for_administrators(self) -> bool:
        return "ADMINISTRATORS_ONLY" in self.codes("403")

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.described

    def codes(self, status: str) -> list[str]:
        """The codes of a refusal; empty for other answers."""
        content = self.described["responses"].get(status, {}).get("content", {})
        if PROBLEM not in content:
            return []
        codes: list[str] = content[PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        return codes

    def says(self) -> set[Said]:
        return {
            (self.id, f"{status} {code}".strip())
            for status in self.described["responses"]
            for code in self.codes(status) or [""]
        }

    def example(self) -> Any:
        """The body that the document shows; a copy."""
        if not self.has_body:
            return None
        return copy.deepcopy(self.described["requestBody"]["content"][JSON]["examples"]["Example"]["value"])


class Described:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        closed = copy.deepcopy(document)
        for shape in closed["components"]["schemas"].values():
            if shape["type"] == "object":
                shape["unevaluatedProperties"] = False  # clients may get more one day; today all is described
        resource = Resource(contents=closed, specification=DRAFT202012)
        self._registry = Registry().with_resource("urn:document", resource)
        self.operations = {
            found["operationId"]: Operation(found["operationId"], method.upper(), path, found)
            for path, methods in document["paths"].items()
            for method, found in methods.items()
        }

    def faults(self, pointer: str, value: Any) -> list[str]:
        """What is wrong with a value that the schema at `pointer` describes."""
        validator = jsonschema.Draft202012Validator(
            {"$ref": f"urn:document#/{pointer}"}, registry=self._registry, format_checker=formats
        )
        return [f"{error.json_path}: {error.message:.200}" for error in validator.iter_errors(value)]

    def faults_of(self, operation: Operation, answer: Answer) -> Iterator[str]:
        """What is wrong with an answer to an operation."""
        status = str(answer.status)
        if (described := operation.described["responses"].get(status)) is None:
            yield f"{status} is not described: {str(answer.json)[:200]}"
            return
        for header in described.get("headers", {}):
            if header.lower() not in answer.headers:
                yield f"{status} without {header}"
        if "retry-after" in answer.headers and "Retry-After" not in described.get("headers", {}):
            yield f"{status}: Retry-After is not described"
        sent = answer.headers.get("content-type", "").partition(";")[0]
        if not described.get("content"):
            if answer.json:
                yield f"{status} has a body"
        elif sent not in described["content"]:
            yield f"{status}: {sent} is not described"
        elif "json" in sent:
            content = f"{operation.pointer}/responses/{status}/content/{sent.replace('/', '~1')}/schema"
            yield from self.faults(content, answer.json)


@dataclass
class Asker:
    """Calls operations by their names, holds each answer against the document, and notes what was answered."""

    described: Described
    faults: list[str] = field(default_factory=list)
    seen: set[Said] = field(default_factory=set)

    def ask(self, api: Api, operation_id: str, *ids: str, query: str | None = None, **options: Any) -> Answer:
        """As whom the operation is for, unless `who` says otherwise. What is refused is asked as RFC 9457, too."""
        if query is None:  # nothing is looked up for nothing
            query = "?q=iu" if operation_id == "suggestEvents" else ""
        operation = self.described.operations[operation_id]
        filled = iter(ids)
        path = re.sub(r"{\w+}", lambda _: next(filled), operation.path) + query
        who = options.pop("who", self._credentials(operation))
        headers = {**who, "Accept-Encoding": "identity", **options.pop("headers", {})}
        body = options.pop("body", operation.example())
        answer = _call(api, operation.method, path, body, headers)
        self._note(operation, answer, "")
        if answer.status >= 400:
            again = _call(api, operation.method, path, body, {**headers, "Accept": PROBLEM})
            self._note(operation, again, again.json.get("code", ""))
        elif operation.method == "GET" and "304" in operation.described["responses"]:
            again = api.call("GET", path, headers={**headers, "If-None-Match": answer.headers["etag"]})
            self._note(operation, again, "")
        return answer

    def _credentials(self, operation: Operation) -> dict[str, str]:
        if operation.is_for_administrators:
            return ADMINISTRATOR
        if operation.is_signed_in:
            return {"Authorization": f"Bearer {token(BUYER)}"}
        return dict(INTERNAL) if operation.is_internal else {}

    def _note(self, operation: Operation, answer: Answer, code: str) -> None:
        self.faults += [f"{operation.id}: {fault}" for fault in self.described.faults_of(operation, answer)]
        if code or not operation.codes(str(answer.status)):
            self.seen.add((operation.id, f"{answer.status} {code}".strip()))


def _call(api: Api, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    for _ in range(20):
        try:
            return api.call(method, path, body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):  # the server has hung up on a body that it will not read
            continue
    raise AssertionError(f"no answer to {method} {path}")
