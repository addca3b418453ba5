"""Hot calls go round Django's handler: what they answer is what Django would have answered."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kernel.concurrency.batching import Batcher
from tests.support.harness import HALL, INTERNAL_TOKEN, STANDING_A, Api, Database, new_user, running_web, seat, token

USER = new_user()
SIGNED_IN = {"HTTP_AUTHORIZATION": f"Bearer {token(USER)}"}
NOWHERE = "00000000-0000-4000-8000-000000000000"
Call = tuple[str, str, Any, dict[str, str]]

CALLS: dict[str, Call] = {
    "availability": ("GET", f"/tickets/availability/{STANDING_A}", None, {}),
    "availability of nothing": ("GET", f"/tickets/availability/{NOWHERE}", None, {}),
    "availability of nonsense": ("GET", "/tickets/availability/x", None, {}),
    "with a query": ("GET", f"/tickets/availability/{STANDING_A}?a=b", None, {}),
    "with a slash": ("GET", f"/tickets/availability/{STANDING_A}/", None, {}),
    "below api": ("GET", f"/api/tickets/availability/{STANDING_A}", None, {}),
    "almost below api": ("GET", f"/apixtickets/availability/{STANDING_A}", None, {}),
    "an endless number": ("POST", "/seats/reserve", b"{}", {**SIGNED_IN, "CONTENT_LENGTH": "9" * 5000}),
    "from another origin": ("GET", f"/tickets/availability/{STANDING_A}", None, {"HTTP_ORIGIN": "https://a.example"}),
    "through a proxy": ("GET", f"/tickets/availability/{STANDING_A}", None, {"HTTP_X_FORWARDED_PROTO": "https"}),
    "as a problem": (
        "GET", f"/tickets/availability/{NOWHERE}", None, {"HTTP_ACCEPT": "application/problem+json"},
    ),
    "nobody": ("POST", f"/queue/check/{HALL}", None, {}),
    "somebody with a bad token": ("POST", f"/queue/check/{HALL}", None, {"HTTP_AUTHORIZATION": "Bearer x.y.z"}),
    "no such event": ("GET", f"/queue/status/{NOWHERE}", None, SIGNED_IN),
    "another method": ("PUT", f"/queue/check/{HALL}", None, SIGNED_IN),
    "a bad body": ("POST", "/seats/reserve", b"{", SIGNED_IN),
    "an empty body": ("POST", "/seats/reserve", None, SIGNED_IN),
    "a list": ("POST", "/seats/reserve", [1], SIGNED_IN),
    "no seats": ("POST", "/seats/reserve", {"eventId": HALL, "seatIds": []}, SIGNED_IN),
    "too many seats": ("POST", "/seats/reserve", {"eventId": HALL, "seatIds": [seat(1, 1), seat(1, 2)]}, SIGNED_IN),
    "no such seat": ("POST", "/seats/reserve", {"eventId": HALL, "seatIds": [NOWHERE]}, SIGNED_IN),
    "no tickets": ("POST", "/reservations", {"eventId": HALL, "items": []}, SIGNED_IN),
    "another media type": (
        "POST", "/seats/reserve", b"eventId=1", {**SIGNED_IN, "CONTENT_TYPE": "application/x-www-form-urlencoded"},
    ),
    "a large body": ("POST", "/seats/reserve", b"[" + b" " * 300_000 + b"]", SIGNED_IN),
    "somebody else's reservation": ("POST", f"/reservations/{NOWHERE}/cancel", None, SIGNED_IN),
    "no internal token": ("POST", f"/internal/reservations/{NOWHERE}/confirm", {"amount": 1}, {}),
    "no amount": (
        "POST", f"/internal/reservations/{NOWHERE}/confirm", {}, {"HTTP_X_INTERNAL_TOKEN": INTERNAL_TOKEN},
    ),
}  # fmt: skip


def asked(call: Call) -> dict[str, Any]:
    method, path, body, more = call
    sent = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    path, _, query = path.partition("?")
    described = {"CONTENT_LENGTH": str(len(sent)), "CONTENT_TYPE": "application/json"} if sent else {}
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "HTTP_X_REQUEST_ID": "the-same",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent),
        **described,
        **more,
    }


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_hot_call_is_answered_as_django_answers_it(world: Database, call: Call, settings: Any) -> None:
    from django.core.wsgi import get_wsgi_application

    from kernel.fastpath import handler
    from kernel.fastpath.cache_store import WSGIResponse
    from kernel.fastpath.response_cache import ResponseCache
    from ticketservice.urls import router

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 1000
    handler._middleware_headers.cache_clear()
    django = get_wsgi_application()
    went_direct: list[bool] = []

    def noting(environ: Any, start_response: Any) -> Any:
        answer = handler.FastPathHandler(django, router.urls)(environ, start_response)
        went_direct.append(isinstance(answer, WSGIResponse))
        return answer

    def answer_of(application: Any) -> tuple[str, dict[str, str], Any]:
        begun: list[Any] = []
        body = b"".join(application(asked(call), lambda *begins: begun.extend(begins)))
        headers = {name.lower(): value for name, value in begun[1] if name != "Content-Length"}
        return begun[0], headers, orjson.loads(body) if body else None

    assert answer_of(ResponseCache(noting, router.urls)) == answer_of(ResponseCache(django, router.urls))
    odd = ("another media type", "a large body", "an endless number", "almost below api")
    long_way = call[0] == "PUT" or call in [CALLS[name] for name in odd]
    assert went_direct == [not long_way]
    handler._middleware_headers.cache_clear()


def test_a_hot_call_is_sent_to_https_as_any_other(world: Database, settings: Any) -> None:
    from django.core.wsgi import get_wsgi_application

    from kernel.fastpath import handler
    from ticketservice.urls import router

    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    handler._middleware_headers.cache_clear()
    application = handler.FastPathHandler(get_wsgi_application(), router.urls)
    plain: Any = application(asked(CALLS["availability"]), lambda *_: None)
    encrypted: Any = application(asked(CALLS["through a proxy"]), lambda *_: None)
    assert (plain.status_code, plain["Location"]) == (301, f"https://localhost/tickets/availability/{STANDING_A}")
    assert encrypted.status == "200 OK"
    handler._middleware_headers.cache_clear()


def test_an_answer_that_can_not_be_written_as_json_is_a_500_like_any_other(
    world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernel.fastpath.handler import FastPathHandler
    from tickets import selectors
    from ticketservice.urls import router

    monkeypatch.setattr(selectors, "availability", lambda _: {"available_quantity": 2**70})
    answer: Any = FastPathHandler(lambda *_: [], router.urls)(asked(CALLS["availability"]), lambda *_: None)
    assert answer.status == "500 Internal Server Error"
    assert orjson.loads(answer.body)["requestId"] == "the-same"


def test_a_client_that_has_the_answer_gets_a_304(web: Api, world: Database) -> None:
    path = f"/tickets/availability/{STANDING_A}"
    tag = web.get(path).headers["etag"]
    assert web.get(path, headers={"If-None-Match": tag}).status == 304
    assert web.get(path, headers={"If-None-Match": '"other"'}).status == 200


@pytest.fixture(scope="module")
def crowded(database_url: str, logs: Path) -> Iterator[Api]:
    with running_web(logs / "crowded.log", DATABASE_URL=database_url, WEB_WORKERS="1", WEB_THREADS="8") as api:
        yield api


def test_availability_is_never_older_than_the_last_commit(crowded: Api, world: Database) -> None:
    """Many ask together while one changes it and asks, too: what was committed before a question is in its answer."""
    path, stop = f"/tickets/availability/{STANDING_A}", threading.Event()

    def ask() -> None:
        api = Api(crowded.port)
        while not stop.is_set():
            api.get(path)

    crowd = [threading.Thread(target=ask) for _ in range(6)]
    for thread in crowd:
        thread.start()
    try:
        for left in range(40, 0, -1):
            world.rows("UPDATE ticket_types SET available_quantity = %s WHERE id = %s", left, STANDING_A)
            assert crowded.get(path).json["available_quantity"] == left
    finally:
        stop.set()
        for thread in crowd:
            thread.join()


def test_who_asks_together_is_answered_by_one_look_that_began_later() -> None:
    looks: list[list[int]] = []
    may_go_on = threading.Event()

    def look_up(keys: list[int]) -> list[int]:
        looks.append(sorted(keys))
        if len(looks) == 1:
            may_go_on.wait(10)
        return [key * 10 for key in keys]

    batcher, found = Batcher(look_up), {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: batcher.submit(n)})) for n in range(6)]
    threads[5].start()
    while not looks:
        time.sleep(0.01)
    for thread in threads[:5]:
        thread.start()
    while len(batcher._next.items) < 5:
        time.sleep(0.01)
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert looks == [[5], [0, 1, 2, 3, 4]]
    assert found == {0: 0, 1: 10, 2: 20, 3: 30, 4: 40, 5: 50}


def test_a_look_that_fails_fails_for_all_who_took_part_and_for_nobody_else() -> None:
    failing = [True]

    def look_up(keys: list[int]) -> list[int]:
        if failing.pop():
            raise OSError("gone")
        return keys

    batcher = Batcher(look_up)
    with pytest.raises(OSError, match="gone"):
        batcher.submit(1)
    failing.append(False)
    assert batcher.submit(1) == 1


def test_a_connection_that_died_while_idle_is_replaced_once(world: Database, redis: Any) -> None:
    from kernel.redis import client

    assert client.execute_packed(b"PING\r\n") == b"PONG"
    redis.client_kill_filter(skipme=True, _type="normal")
    assert client.execute_packed(b"PING\r\n") == b"PONG"
