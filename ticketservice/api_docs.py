"""GET /api/schema: the OpenAPI document. GET /api/asyncapi: the AsyncAPI document. GET /api-docs: a page that shows the
first, whose introduction names the second. GET /: a redirect to that page.

The page loads nothing from other hosts.
"""

import hashlib
from base64 import b64encode
from functools import cache
from threading import Lock

import orjson
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

_generating = Lock()  # drf-spectacular replaces the classes of views while it inspects them


def document() -> tuple[bytes, str]:
    """Return the document as JSON and its ETag. Generated once in each process."""
    with _generating:
        return _document()


@cache
def _document() -> tuple[bytes, str]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    body = orjson.dumps(generator.get_schema(public=True))  # type: ignore[no-untyped-call]
    return body, f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class Document(APIView):
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        body, tag = document()
        return Response(body, headers={"ETag": tag})


class AsyncDocument(APIView):
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002
        return HttpResponse(_async_document(), content_type="application/yaml; charset=utf-8")


@cache
def _async_document() -> bytes:
    return (settings.BASE_DIR / "docs" / "asyncapi.yaml").read_bytes()


@extend_schema(exclude=True)
class Root(APIView):
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002
        return HttpResponseRedirect("/api-docs")


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ticket service API</title>
<link rel="icon" href="{assets}/favicon-32x32.png">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script>{script}</script>
</body>
</html>
"""
SCRIPT = 'SwaggerUIBundle({{url: "{document}", dom_id: "#api", deepLinking: true, docExpansion: "list"}})'
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{script}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsPage(APIView):
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002
        page, policy = _page()
        return HttpResponse(page, headers={"Content-Security-Policy": policy})


@cache
def _page() -> tuple[str, str]:
    script = SCRIPT.format(document=reverse("api-document"))
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assets = static("drf_spectacular_sidecar/swagger-ui-dist")
    return PAGE.format(assets=assets, script=script), CONTENT_SECURITY_POLICY.format(script=digest)
