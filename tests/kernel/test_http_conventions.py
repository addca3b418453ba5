"""What HTTP says of every response: compression, caching, methods, hosts, CSRF."""

import gzip
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from tests.support.harness import HALL, INTERNAL, STANDING_A, Api, Database, new_user, running_web, seat

# --- Compression ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, identity", False),
        ("br, GZIP ;q=0.5", True),
        ("x-gzip", True),
        ("identity, gzip;q=0, *;q=0", False),
        ("gzipped", False),
        ("br", False),
    ],
)
@pytest.mark.parametrize("path", [f"/seats/events/{HALL}", "/api/schema"])
def test_gzip_is_sent_to_those_who_accept_it(
    web: Api, world: Database, path: str, accepted: str, is_compressed: bool
) -> None:
    for _ in range(3):  # the second is from the response cache
        answer = web.get(path, headers={"Accept-Encoding": accepted})
        assert answer.status == 200
        assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
        assert "accept-encoding" in answer.headers["vary"].lower()
        if is_compressed:
            assert gzip.decompress(answer.json).startswith(b"{")


# --- Caching ----------------------------------------------------------------------------------------------------------

PUBLIC = "public, max-age=0, must-revalidate"
PUBLIC_PATHS = ("/events", f"/events/{HALL}", f"/seats/events/{HALL}", f"/tickets/availability/{STANDING_A}",
                "/api/schema", "/api-docs")  # fmt: skip


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_a_public_answer_may_be_kept_and_has_to_be_asked_about(web: Api, world: Database, path: str) -> None:
    first = web.get(path)
    assert (first.status, first.headers["cache-control"]) == (200, PUBLIC)
    again = web.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["cache-control"]) == (304, PUBLIC)


def test_all_other_answers_are_kept_by_nobody(web: Api, world: Database) -> None:
    user = new_user()
    held = web.reserve(user, HALL, seat(1, 1))
    answers = {
        "mine": web.get("/reservations/my", user=user),
        "my queue status": web.get(f"/queue/status/{HALL}", user=user),
        "my reservation": web.get(f"/reservations/{held.json['reservation']['id']}", user=user),
        "a sale": held,
        "internal": web.post(f"/internal/reservations/{new_user()}/refund", headers=INTERNAL),
        "nobody": web.get("/reservations/my"),
        "no event": web.get(f"/events/{new_user()}"),
        "no path": web.get("/nothing"),
        "health": web.get("/health/ready"),
        "metrics": web.get("/metrics"),
        "the admin": web.get("/admin/login/"),
    }
    assert {name for name, found in answers.items() if "no-store" not in found.headers["cache-control"]} == set()


# --- Methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PUBLIC_PATHS, "/reservations/my", f"/queue/admin/policy/{HALL}", "/seats/reserve"])
def test_options_is_answered_where_allow_names_it(web: Api, world: Database, path: str) -> None:
    answer = web.call("OPTIONS", path)
    assert (answer.status, answer.json) == (204, b"")
    assert "OPTIONS" in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_allow_does_not_name_options_where_it_is_refused(web: Api, path: str) -> None:
    answer = web.call("OPTIONS", path)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


# --- Addresses --------------------------------------------------------------------------------------------------------


def get_as_it_is(web: Api, target: str) -> tuple[int, Any]:
    """The status and the body of a request whose URL is sent in UTF-8, as curl sends it: browsers encode it."""
    with closing(socket.create_connection(("127.0.0.1", web.port), timeout=15)) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("path", ["/events?limit=100&q=", "/events/suggest?q="])
@pytest.mark.parametrize("text", ["아이유", "ㅇㅇㅇ", "é", "🎫"])
def test_a_query_string_need_not_be_encoded(web: Api, world: Database, path: str, text: str) -> None:
    status, body = get_as_it_is(web, path + text)
    assert (status, json.loads(body)) == (200, web.get(path + quote(text)).json)


@pytest.mark.parametrize("target", ["/admin/login/?next=한글", "/health?한글", "/nothing?한글=1", "/events/한글?한글"])
def test_an_address_that_is_not_encoded_is_no_crash(web: Api, world: Database, target: str) -> None:
    status, _ = get_as_it_is(web, target)
    assert status in {200, 400, 404}


# --- Hosts ------------------------------------------------------------------------------------------------------------


def test_a_wrong_host_is_a_line_and_no_traceback(world: Database, database_url: str, logs: Path) -> None:
    log = logs / "hosts.log"
    production = {
        "DEBUG": "false",
        "SECRET_KEY": new_user() + new_user(),
        "ALLOWED_HOSTS": "tickets.example, localhost",
    }
    with running_web(log, DATABASE_URL=database_url, WEB_WORKERS="1", **production) as api:
        assert api.get("/admin/login/", headers={"Host": "tickets.example"}).status == 200
        refused = api.get("/admin/login/", headers={"Host": "evil.example"})
        assert (refused.status, refused.json) == (400, {"error": "Bad request"})
    lines = [line for line in log.read_text().splitlines() if "evil.example" in line]
    assert len(lines) == 1
    assert "Traceback" not in log.read_text()


# --- CSRF -------------------------------------------------------------------------------------------------------------


def test_every_form_of_the_admin_needs_its_token(world: Database) -> None:
    """Also one whose view has no decorator: the middleware that the admin calls itself runs whole."""
    client = Client(enforce_csrf_checks=True)
    sent = {"language": "en", "next": "/admin/login/"}
    refused = client.post("/admin/language/", sent)
    assert refused.status_code == 403
    assert "django_language" not in refused.cookies

    token = client.get("/admin/login/").cookies["csrftoken"].value
    chosen = client.post("/admin/language/", sent | {"csrfmiddlewaretoken": token})
    assert (chosen.status_code, chosen.cookies["django_language"].value) == (302, "en")


def test_every_hook_of_the_admin_s_middleware_is_called(settings: Any) -> None:
    from django.http import HttpRequest, HttpResponse

    from kernel.http.middleware import AdminMiddleware

    settings.ADMIN_MIDDLEWARE = [f"{__name__}.Outer", f"{__name__}.Inner"]
    middleware = AdminMiddleware(lambda _: HttpResponse())
    request = HttpRequest()
    request.path_info = "/admin/"
    CALLED.clear()
    assert middleware.process_view(request, None, (), {}) is None
    answer = middleware.process_exception(request, ValueError())
    assert answer is not None
    middleware.process_template_response(request, answer)
    assert CALLED == ["Outer view", "Inner view", "Inner exception", "Inner template", "Outer template"]
    request.path_info = "/events"
    assert middleware.process_view(request, None, (), {}) is middleware.process_exception(request, ValueError()) is None
    assert len(CALLED) == 5


CALLED: list[str] = []


class Outer:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def note(self, hook: str) -> None:
        CALLED.append(f"{type(self).__name__} {hook}")

    def process_view(self, *_: Any) -> None:
        self.note("view")

    def process_exception(self, *_: Any) -> Any:
        from django.http import HttpResponse

        self.note("exception")
        return HttpResponse()

    def process_template_response(self, _: Any, response: Any) -> Any:
        self.note("template")
        return response


class Inner(Outer):
    pass
