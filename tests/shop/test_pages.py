"""The shop by HTTP: pages, their policy, what turns it off, and what other sites cannot do to it."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.harness import HALL, STANDING, Database, manage, new_user, running_web, seat, token
from tests.support.shop import Shop

pytestmark = pytest.mark.slow

HTML = {"Accept": "text/html,application/xhtml+xml"}
PAGES = (
    "/",
    f"/shop/events/{HALL}",
    f"/shop/events/{HALL}/queue",
    f"/shop/events/{HALL}/seats",
    f"/shop/events/{STANDING}/tickets",
    f"/shop/reservations/{HALL}",
    "/shop/tickets",
    "/shop/demo/payment",
)


def own(shop: Shop, **more: str) -> dict[str, str]:
    """Headers of a request by a page of the shop, for the demo buyer 7."""
    host = {"Host": shop.base.removeprefix("http://"), "Origin": shop.base}
    return {**host, "Shop-Buyer": "7", "Cookie": f"shop_buyer_7={cookie_of(shop, 7)}", **more}


def cookie_of(shop: Shop, buyer: int) -> str:
    headers = {"Host": shop.base.removeprefix("http://"), "Origin": shop.base}
    answer = shop.web.post("/shop/demo/buyers", {"buyer": buyer}, headers=headers)
    assert answer.status == HTTPStatus.OK, answer
    return re.match(rf"shop_buyer_{buyer}=([^;]+);", answer.headers["set-cookie"])[1]  # type: ignore[index]


# --- Pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_html_in_both_languages_with_nothing_inline_and_nothing_from_elsewhere(shop: Shop, path: str) -> None:
    for language, other in (("ko", "en"), ("en", "ko")):
        page = shop.web.get(path, headers={**HTML, "Accept-Language": f"{language}-KR,{other};q=0.5"})
        text = page.json.decode()
        assert (page.status, page.headers["content-type"]) == (HTTPStatus.OK, "text/html; charset=utf-8")
        assert f'<html lang="{language}">' in text
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        inline = re.findall(r"<script(?![^>]*(?:src=|application/json))|<style| style=| on[a-z]+=", text)
        assert inline == []
        assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text) == []
    assert shop.web.get(f"{path}?lang=en", headers=HTML).headers["set-cookie"].startswith("shop_language=en")


def test_programs_get_at_the_root_what_they_always_did(shop: Shop) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert shop.web.get("/", headers=headers).headers["location"] == "/api-docs"


def test_no_path_of_the_api_answers_html(shop: Shop, world: Database) -> None:
    paths = ["/events", f"/events/{HALL}", f"/seats/events/{HALL}", "/reservations/my", "/shop/api/events",
             "/shop/api/nothing", "/shop/session", "/shop/nothing"]  # fmt: skip
    for path in paths:
        for method in ("GET", "POST", "DELETE"):
            assert "html" not in shop.web.call(method, path, headers=HTML).headers.get("content-type", ""), (
                method,
                path,
            )


def test_below_shop_api_there_is_the_api_and_nothing_else(shop: Shop, world: Database) -> None:
    bare, gated = shop.web.get(f"/events/{HALL}"), shop.web.get(f"/shop/api/events/{HALL}")
    assert (gated.status, gated.json) == (bare.status, bare.json)
    for path in ("admin/", "internal/refunds", "metrics", "health", "api/events", "shop/session", "../admin/"):
        assert shop.web.get(f"/shop/api/{path}").status == HTTPStatus.NOT_FOUND, path
    problem = shop.web.get("/shop/api/nothing", headers={"Accept": "application/problem+json"})
    assert (problem.headers["content-type"], problem.json["code"]) == ("application/problem+json", "NOT_FOUND")


def test_turned_off_it_leaves_no_path(database_url: str, logs: Path) -> None:
    with running_web(logs / "no-shop.log", DATABASE_URL=database_url, SHOP_ENABLED="false") as web:
        assert web.get("/", headers=HTML).headers["location"] == "/api-docs"
        for path in (*PAGES[1:], "/shop/api/events", "/shop/session"):
            assert web.get(path, headers=HTML).status == HTTPStatus.NOT_FOUND, path


PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "x7" * 13 + "Kq9-" * 8,
    "INTERNAL_API_TOKEN": "t" * 30,
    "JWT_SECRET": "j" * 40,
}


def test_the_demo_payment_page_is_refused_in_production() -> None:
    for url in ("/shop/demo/payment", "https://tickets.example.org/shop/demo/payment/", "/shop/demo/payment?x=1"):
        said = manage("check", **PRODUCTION, PAYMENT_URL=url)
        assert said.returncode != 0, url
        assert "PAYMENT_URL" in said.stderr
    assert manage("check", **PRODUCTION, PAYMENT_URL="https://pay.example.org/").returncode == 0


def test_in_production_there_is_no_demo(database_url: str, logs: Path) -> None:
    with running_web(logs / "production.log", DATABASE_URL=database_url, **PRODUCTION) as web:
        local = {"Host": "localhost", "Origin": "http://localhost"}
        assert web.get("/shop/demo/payment", headers=local).status == HTTPStatus.NOT_FOUND
        assert web.post("/shop/demo/buyers", {"buyer": 1}, headers=local).status == HTTPStatus.NOT_FOUND
        assert '"hasDemoBuyers": false' in web.get("/", headers={**HTML, **local}).json.decode()


# --- Demo buyers ------------------------------------------------------------------------------------------------------


def test_each_tab_is_the_buyer_that_it_names(shop: Shop, world: Database) -> None:
    both = f"shop_buyer_3={cookie_of(shop, 3)}; shop_buyer_4={cookie_of(shop, 4)}"
    ids = set()
    for buyer in ("3", "4"):
        headers = own(shop, Cookie=both) | {"Shop-Buyer": buyer}
        ids.add(shop.web.get("/shop/session", headers=headers).json["user"]["id"])
        assert shop.web.post(f"/shop/api/queue/check/{HALL}", headers=headers).status == HTTPStatus.OK
    assert len(ids) == 2
    for nobody in ("", "5", "0", "100", "x", "3; shop_token"):
        answer = shop.web.get("/shop/api/reservations/my", headers=own(shop, Cookie=both) | {"Shop-Buyer": nobody})
        assert answer.status == HTTPStatus.UNAUTHORIZED, nobody


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site_can_neither_choose_a_buyer_nor_pay(shop: Shop, world: Database, headers: dict[str, str]) -> None:
    assert shop.web.post("/shop/demo/buyers", {"buyer": 7}, headers=own(shop, **headers)).status == HTTPStatus.FORBIDDEN
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"action=pay&reservation={HALL}&amount=0".encode()
    assert (
        shop.web.post("/shop/demo/payment", body, headers=own(shop, **headers, **form)).status == HTTPStatus.FORBIDDEN
    )


# --- Sockets ----------------------------------------------------------------------------------------------------------


def open_socket(
    shop: Shop, *, origin: str | None, path: str = f"/shop/ws/queue/{HALL}?buyer=7", cookie: bool = True
) -> Any:
    headers = {"Cookie": f"shop_buyer_7={cookie_of(shop, 7)}"} if cookie else {}
    url = f"ws://localhost:{shop.realtime.port}{path}"
    with connect(url, origin=origin, additional_headers=headers) as socket:  # type: ignore[arg-type]
        return json.loads(socket.recv(timeout=5))


def test_a_socket_of_the_shops_own_page_is_its_buyers(shop: Shop, world: Database) -> None:
    shop.web.post(f"/shop/api/queue/check/{HALL}", headers=own(shop))
    assert open_socket(shop, origin=shop.base)["type"] in ("queue-position", "queue-entry-allowed")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null", None, ""])
def test_a_socket_of_another_site_is_refused(shop: Shop, world: Database, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(shop, origin=origin)
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def test_the_bare_socket_takes_no_cookie_and_the_shops_takes_no_token(shop: Shop, world: Database) -> None:
    for path, cookie in (
        (f"/ws/queue/{HALL}?buyer=7", True),
        (f"/shop/ws/queue/{HALL}?token={token(new_user())}", False),
    ):
        with pytest.raises(Exception, match=r"4401|UNAUTHENTICATED"):
            open_socket(shop, origin=shop.base, path=path, cookie=cookie)


# --- Paying -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(shop: Shop, world: Database) -> dict[str, Any]:
    world.settle()
    body = {"eventId": HALL, "seatIds": [seat(1, 3)]}
    answer = shop.web.post("/shop/api/seats/reserve", body, headers=own(shop))
    assert answer.status == HTTPStatus.CREATED, answer.json
    found: dict[str, Any] = answer.json["reservation"]
    return found


def demo_pay(shop: Shop, **fields: Any) -> Any:
    form = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    return shop.web.post(
        "/shop/demo/payment", form, headers=own(shop, **{"Content-Type": "application/x-www-form-urlencoded"})
    )


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "{base}/shop/session/logout", "{base}/",
     "{base}@evil.example/", "{base}.evil.example/shop/reservations/{id}", ""],
)  # fmt: skip
def test_the_payment_leads_back_to_its_reservation_only(shop: Shop, held: dict[str, Any], back: str) -> None:
    back = back.format(base=shop.base, id=held["id"])
    answer = demo_pay(shop, action="leave", reservation=held["id"], **{"return": back})
    assert answer.headers["location"] == f"/shop/reservations/{held['id']}"


def test_coming_back_from_the_payment_pays_nothing(shop: Shop, held: dict[str, Any], world: Database) -> None:
    """Whatever the address says, what counts is what the payment service has told the service."""
    page = f"/shop/reservations/{held['id']}"
    for query in ("?from=payment&status=success", "?paid=true", "?payment=confirmed"):
        assert shop.web.get(page + query, headers={**HTML, "Sec-Fetch-Site": "cross-site"}).status == HTTPStatus.OK
    assert world.one("SELECT status FROM reservations WHERE id = %s", held["id"]) == "pending"


def test_a_payment_of_another_amount_buys_nothing(shop: Shop, held: dict[str, Any], world: Database) -> None:
    demo_pay(shop, action="begin", reservation=held["id"])
    demo_pay(shop, action="pay", reservation=held["id"], amount=0)
    assert world.one("SELECT status FROM reservations WHERE id = %s", held["id"]) == "pending"


def test_only_what_is_free_is_confirmed_without_a_payment(shop: Shop, world: Database) -> None:
    world.settle()
    world.rows("UPDATE seats SET price = 0 WHERE id = %s", seat(1, 4))
    free, dear = (
        shop.web.post("/shop/api/seats/reserve", {"eventId": HALL, "seatIds": [one]}, headers=own(shop)).json[
            "reservation"
        ]["id"]
        for one in (seat(1, 4), seat(1, 5))
    )
    stranger = own(shop, Cookie=f"shop_buyer_8={cookie_of(shop, 8)}") | {"Shop-Buyer": "8"}
    assert shop.web.post(f"/shop/reservations/{free}/confirm", headers=stranger).status == HTTPStatus.NOT_FOUND
    assert shop.web.post(f"/shop/reservations/{dear}/confirm", headers=own(shop)).status == HTTPStatus.CONFLICT
    assert shop.web.post(f"/shop/reservations/{free}/confirm", headers=own(shop)).status == HTTPStatus.OK
    assert world.rows(
        "SELECT status FROM reservations WHERE id = ANY(%s::uuid[]) ORDER BY total_amount", [free, dear]
    ) == [
        {"status": "confirmed"},
        {"status": "pending"},
    ]


# --- Entry codes ------------------------------------------------------------------------------------------------------


def test_entry_codes_are_verified_with_the_published_key_alone(shop: Shop, world: Database) -> None:
    user = new_user()
    world.settle()
    reserved = shop.web.reserve(user, HALL, seat(1, 6), seat(1, 7)).json["reservation"]
    path = f"/reservations/{reserved['id']}/entry-codes"
    assert shop.web.get(path, user=user).status == HTTPStatus.CONFLICT, "not paid"
    shop.web.confirm(reserved["id"], reserved["totalAmount"])

    codes = shop.web.get(path, user=user).json["entryCodes"]
    keys = jwt.PyJWKSet.from_dict(shop.web.get("/reservations/entry-keys").json)
    claims = []
    for code in codes:
        key = keys[jwt.get_unverified_header(code["code"])["kid"]]
        claims.append(jwt.decode(code["code"], key, algorithms=["EdDSA"], options={"verify_sub": False}))
    assert [one["for"] for one in claims] == [code["seatLabel"] for code in codes]
    assert {one["event"] for one in claims} == {HALL}
    assert len({one["sub"] for one in claims}) == 2
    head, payload, _ = codes[0]["code"].split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            f"{head}.{payload}.{codes[1]['code'].split('.')[2]}",
            key,
            algorithms=["EdDSA"],
            options={"verify_sub": False},
        )
    assert shop.web.get(path, user=new_user()).status == HTTPStatus.NOT_FOUND


def test_entry_codes_of_tickets_are_one_for_each(shop: Shop, world: Database) -> None:
    user, kind = new_user(), world.one("SELECT id::text FROM ticket_types WHERE event_id = %s LIMIT 1", STANDING)
    world.settle()
    reserved = shop.web.buy(user, STANDING, **{kind: 2}).json["reservation"]
    shop.web.confirm(reserved["id"], reserved["totalAmount"])
    first = shop.web.get(f"/reservations/{reserved['id']}/entry-codes", user=user).json["entryCodes"]
    again = shop.web.get(f"/reservations/{reserved['id']}/entry-codes", user=user).json["entryCodes"]
    assert len({code["code"] for code in first}) == 2
    assert first == again
    assert first[0]["qr"]["path"].startswith("M")


# --- The demo crowd's buttons ------------------------------------------------------------------------------------------


def test_only_an_organiser_at_this_machine_may_send_a_crowd(world: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.models import User
    from django.core.exceptions import PermissionDenied
    from django.http import Http404
    from django.test import RequestFactory

    from shop import demo_crowd

    monkeypatch.setattr(demo_crowd.settings, "DEBUG", True)
    started: list[Any] = []
    monkeypatch.setattr(demo_crowd, "_start", lambda *arguments: started.append(arguments))
    form = {"action": "start", "event": "moonlit-garden", "buyers": "100"}

    def post(user: User, **meta: str) -> int:
        request = RequestFactory(**meta).post("/admin/demo-crowd/", form)  # type: ignore[arg-type]
        request.user = user
        return demo_crowd.page(request).status_code

    chief, clerk = User(username="chief", is_superuser=True), User(username="clerk", is_staff=True, pk=0)
    monkeypatch.setattr(clerk, "has_perm", lambda _: False)
    for user, meta in (
        (clerk, {}),
        (chief, {"REMOTE_ADDR": "192.0.2.7"}),
        (chief, {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}),
    ):
        with pytest.raises(PermissionDenied):
            post(user, **meta)
    assert started == []
    assert post(chief) == HTTPStatus.FOUND
    assert started == [("--event", "moonlit-garden", "--buyers", "100")]
    for wrong in ({"event": "not-a-demo"}, {"buyers": "1000000"}, {"action": ""}):
        form.update(wrong)
        assert post(chief) == HTTPStatus.FOUND
    assert len(started) == 1
    monkeypatch.setattr(demo_crowd.settings, "DEBUG", False)
    with pytest.raises(Http404):
        post(chief)


def test_the_crowds_buttons_need_a_sign_in_and_a_token_of_their_form(shop: Shop, world: Database) -> None:
    path = "/admin/demo-crowd/"
    assert shop.web.get(path).headers["location"].startswith("/admin/login/")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert shop.web.post(path, b"action=start", headers=form).status == HTTPStatus.FORBIDDEN, "another site's form"
