"""The OpenAPI document: it is valid, complete, in step with the other documents, and shown as a page."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import jsonschema
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.contract.replay import IGNORED_KEYS
from tests.support.harness import CONTRACT, ROOT, Api
from tests.support.openapi import JSON, Described

# Refusals that no operation answers with: any other path, any other method, what only organisers see, a base class.
ELSEWHERE = {
    "NOT_FOUND",
    "REQUEST_TIMEOUT",
    "METHOD_NOT_ALLOWED",
    "IMPOSSIBLE_LAYOUT",
    "LAYOUT_IN_USE",
    "STOCK_IS_SOLD",
    "FOREIGN_ORIGIN",  # of the shop's pages
    "SIGN_IN_FAILED",
    "NOT_FREE",
    "REFUSED",
}


@pytest.fixture(scope="module")
def described(web: Api) -> Described:
    return Described(web.get("/api/schema", headers={"Accept-Encoding": "identity"}).json)


# --- The document -----------------------------------------------------------------------------------------------------


def test_is_valid_openapi_made_without_a_warning(described: Described, web: Api) -> None:
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.validation import validate_schema

    from ticketservice.api_docs import document

    made, tag = document()
    assert GENERATOR_STATS._warn_cache | GENERATOR_STATS._error_cache == {}
    assert json.loads(made) == described.document
    assert web.get("/api/schema").headers["etag"] == tag, "each process has another document"
    assert described.document["openapi"].startswith("3.1.")
    validate_schema(described.document)
    for shape in every(described.document, "schema"):
        jsonschema.Draft202012Validator.check_schema(shape)
    tags = {tag for operation in described.operations.values() for tag in operation.described["tags"]}
    assert tags == {tag["name"] for tag in described.document["tags"]}
    assert set(every(described.document, "$ref")) == {
        f"#/components/{kind}/{name}"
        for kind, members in described.document["components"].items()
        for name in members
        if kind not in ("securitySchemes", "responses")
    }


def every(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, wherever it is."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == key:
                yield member
            yield from every(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from every(member, key)


def test_every_path_is_described(described: Described) -> None:
    served = {path for path in paths(get_resolver()) if not path.startswith(("/admin", "/shop/")) and path != "/"}
    documents = {"/api/schema", "/api/asyncapi"}
    under_api = {path for path in served if path.startswith("/api/")} - documents

    assert {f"/api{path}" for path in served - under_api - documents - {"/api-docs"}} == under_api
    assert {re.sub("{.*?}", "{}", path) for path in described.document["paths"]} == served - under_api


def paths(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    for found in resolver.url_patterns:
        here = before + re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "{}", str(found.pattern)).strip("^$").removesuffix("/?")
        here = here.removesuffix(r"\Z")
        yield from [here] if isinstance(found, URLPattern) else paths(found, here)


def test_the_root_leads_to_the_documentation(web: Api) -> None:
    found = web.get("/")

    assert (found.status, found.headers["location"]) == (302, "/api-docs")
    assert web.post("/").status == 405


def test_every_code_is_in_both_documents(described: Described) -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    operations = described.operations.values()
    answered = {code for operation in operations for status in range(400, 600) for code in operation.codes(str(status))}

    assert answered == explained - ELSEWHERE
    assert described.document["components"]["responses"].keys() == {"AnyOtherPath", "AnyOtherMethod"}


def test_every_example_is_as_described(described: Described) -> None:
    faults = []
    bodies = 0
    for operation in described.operations.values():
        parts = {f"responses/{status}": found for status, found in operation.described["responses"].items()}
        for part, found in (parts | {"requestBody": operation.described.get("requestBody", {})}).items():
            for media_type, content in found.get("content", {}).items():
                pointer = f"{operation.pointer}/{part}/content/{media_type.replace('/', '~1')}/schema"
                for name, example in content.get("examples", {}).items():
                    bodies += 1
                    faults += [f"{pointer} {name}: {fault}" for fault in described.faults(pointer, example["value"])]
                if media_type == JSON and operation.id != "getApiDocument" and not content.get("examples"):
                    faults.append(f"{pointer}: no example")

    assert faults == []
    assert bodies > 400


def test_recorded_answers_are_as_described(described: Described) -> None:
    faults = []
    compared = 0
    by_path = {
        (operation.method, re.compile(re.sub("{.*?}", "[^/]+", f"/api{operation.path}/?"))): operation
        for operation in sorted(described.operations.values(), key=lambda operation: "{" in operation.path)
    }
    for case in [case for path in (CONTRACT / "cases").glob("*.json") for case in json.loads(path.read_text())]:
        request, expected = case["request"], case["expect"]
        if expected["compare"] != "exact" or "differs" in case or "/queue/" in request["path"]:
            continue  # the waiting room says more than it used to
        operation = next(
            found
            for (method, path), found in by_path.items()
            if method == request["method"] and path.fullmatch(request["path"])
        )
        (status,) = expected["status"]
        pointer = f"{operation.pointer}/responses/{status}/content/application~1json/schema"
        compared += 1
        found = described.faults(pointer, known(expected["json"]))
        if expected.get("extra"):  # fields were added after it was recorded
            found = [fault for fault in found if not fault.endswith("is a required property")]
        faults += [f"{case['case']}: {fault}" for fault in found]

    assert faults == []
    assert compared > 100


def known(value: Any) -> Any:
    """Without the columns that only the old service had."""
    if isinstance(value, list):
        return [known(member) for member in value]
    if not isinstance(value, dict):
        return value
    return {name: known(member) for name, member in value.items() if name not in IGNORED_KEYS}


# --- The page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_document_and_needs_no_other_host(web: Api) -> None:
    page = web.get("/api-docs")
    text = page.json.decode()

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert 'url: "/api/schema"' in text
    assets = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(assets) == 3
    for asset in assets:
        assert urljoin("http://here/api-docs", asset).startswith("http://here/static/")
        assert web.get(asset).status == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    script = re.findall("<script>(.*)</script>", text)[0]
    assert f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_the_messages_over_sockets_are_served_beside_it(described: Described, web: Api) -> None:
    found = web.get("/api/asyncapi")
    assert (found.status, found.headers["content-type"]) == (200, "application/yaml; charset=utf-8")
    assert found.json == (ROOT / "docs" / "asyncapi.yaml").read_bytes()
    assert "`/api/asyncapi`" in described.document["info"]["description"]


def test_the_document_is_not_sent_twice(web: Api) -> None:
    first = web.get("/api/schema")

    assert web.get("/api/schema/", headers={"If-None-Match": first.headers["etag"]}).status == 304
    assert web.get("/schema").status == 404
    assert web.post("/api/schema").status == 405
