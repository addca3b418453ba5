"""Signing in at an Auth Service that speaks docs/auth.md, by HTTP as a browser would; and attacks on each step."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.harness import HALL, Database, seat
from tests.support.oauth import serving_oauth
from tests.support.shop import Shop, running_shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def auth_service() -> Iterator[Any]:
    with serving_oauth() as service:
        yield service


@pytest.fixture(scope="module")
def shop(database_url: str, logs: Path, auth_service: Any) -> Iterator[Shop]:
    urls = {"AUTH_SERVICE_URL": auth_service.base, "SHOP_LOGIN_URL": f"{auth_service.base}/login"}
    with running_shop(logs, "signing-in", DATABASE_URL=database_url, **urls) as shop:
        yield shop


class Browser(httpx.Client):
    """A browser: it keeps cookies, and says of each request which page has sent it."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(base_url=shop.base, timeout=20)
        self.origin = shop.base

    def fetch(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        return self.request(method, path, headers=headers, **options)

    def sign_in(self, then: str = "/") -> httpx.Response:
        """Through the Auth Service and back; the response that ends it."""
        away = self.get("/shop/session/login", params={"then": then})
        back = httpx.get(away.headers["location"])
        return self.get(back.headers["location"])


@pytest.fixture
def browser(shop: Shop, world: Database) -> Iterator[Browser]:
    with Browser(shop) as browser:
        yield browser


def cookies_of(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for header in response.headers.get_list("set-cookie"):
        found |= SimpleCookie(header)
    return found


def test_signs_in_and_buys_with_a_cookie_that_no_script_and_no_other_site_gets(browser: Browser) -> None:
    assert browser.fetch("GET", "/shop/session").json()["user"] is None
    signed_in = browser.sign_in(then="/shop/tickets")

    assert (signed_in.status_code, signed_in.headers["location"]) == (302, "/shop/tickets")
    for cookie in (cookies_of(signed_in)["shop_token"], cookies_of(signed_in)["shop_renewal"]):
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    session = browser.fetch("GET", "/shop/session").json()
    assert (session["user"]["name"], session["canRenew"]) == ("민지", True)
    assert 3500 < session["expiresInSeconds"] <= 3600
    reserved = browser.fetch("POST", "/shop/api/seats/reserve", json={"eventId": HALL, "seatIds": [seat(1, 1)]})
    assert reserved.status_code == 201
    assert len(browser.fetch("GET", "/shop/api/reservations/my").json()["reservations"]) == 1


def test_the_bare_api_takes_no_cookie(browser: Browser) -> None:
    browser.sign_in()
    for prefix in ("", "/api"):
        assert browser.fetch("GET", f"{prefix}/reservations/my").status_code == 401
        body = {"eventId": HALL, "seatIds": [seat(1, 1)]}
        assert browser.fetch("POST", f"{prefix}/seats/reserve", json=body).status_code == 401


def test_a_token_is_renewed_before_it_ends_and_forgotten_at_the_end(browser: Browser, auth_service: Any) -> None:
    browser.sign_in()
    before = browser.cookies["shop_token"]
    renewed = browser.fetch("POST", "/shop/session/renew")

    assert renewed.status_code == 200
    assert browser.cookies["shop_token"] != before
    renewal = browser.cookies["shop_renewal"]
    assert renewal in auth_service.renewals
    assert browser.fetch("GET", "/shop/session").json()["user"]["name"] == "민지"
    assert browser.fetch("POST", "/shop/session/logout").json() == {"user": None, "canRenew": False}
    path, form = auth_service.asked[-1]
    assert (path, form["token"]) == ("/auth/revoke", renewal)
    assert renewal not in auth_service.renewals
    assert browser.fetch("GET", "/shop/api/reservations/my").status_code == 401
    assert browser.fetch("POST", "/shop/session/renew").status_code == 401


def test_a_renewal_that_is_refused_signs_out(browser: Browser, auth_service: Any) -> None:
    browser.sign_in()
    auth_service.renewals.clear()

    assert browser.fetch("POST", "/shop/session/renew").status_code == 403
    assert browser.fetch("GET", "/shop/session").json()["user"] is None


# --- Attacks ----------------------------------------------------------------------------------------------------------

ELSEWHERE = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},  # another port of the same host
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)
WRITES = (
    ("/shop/api/seats/reserve", {"eventId": HALL, "seatIds": [seat(1, 1)]}),
    (f"/shop/api/queue/check/{HALL}", None),
    (f"/shop/api/queue/leave/{HALL}", None),
    ("/shop/session/renew", None),
    ("/shop/session/logout", None),
    (f"/shop/reservations/{HALL}/confirm", None),
)


@pytest.mark.parametrize("headers", ELSEWHERE, ids=lambda headers: "=".join(*headers.items()))
def test_a_write_of_another_site_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    browser.sign_in()
    for path, body in WRITES:
        refused = browser.fetch("POST", path, json=body, headers=headers)
        assert refused.status_code == 403, path
    assert browser.fetch("GET", "/shop/api/reservations/my", headers=headers).status_code == 403
    assert browser.fetch("GET", "/shop/session", headers=headers).status_code == 403
    assert browser.fetch("GET", "/shop/session").json()["user"] is not None, "signed out by another site"


def test_a_write_that_does_not_say_where_it_comes_from_is_refused(browser: Browser) -> None:
    browser.sign_in()
    for path, body in WRITES:
        assert browser.post(path, json=body).status_code == 403, path


@pytest.mark.parametrize(
    "then",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "evil",
     "/\n/evil.example", "http:evil.example", "///evil.example", ""],
)  # fmt: skip
def test_signing_in_leads_back_to_this_origin_only(browser: Browser, then: str) -> None:
    assert browser.sign_in(then=then).headers["location"] == "/"


def test_a_code_that_was_begun_by_somebody_else_signs_nobody_in(shop: Shop, browser: Browser) -> None:
    """An attacker signs in, stops before the end, and makes somebody else's browser end it."""
    with Browser(shop) as attacker:
        away = attacker.get("/shop/session/login")
        back = httpx.get(away.headers["location"]).headers["location"]
        assert browser.get(back).headers["location"] == "/?sign-in=failed"
        browser.get("/shop/session/login")  # has begun one, too
        assert browser.get(back).headers["location"] == "/?sign-in=failed"
    assert browser.fetch("GET", "/shop/session").json()["user"] is None


def test_a_code_is_worth_nothing_without_its_browser_and_nothing_twice(browser: Browser, auth_service: Any) -> None:
    away = browser.get("/shop/session/login")
    back = httpx.get(away.headers["location"]).headers["location"]
    code = parse_qs(urlsplit(back).query)["code"][0]
    stolen = {"grant_type": "authorization_code", "code": code, "code_verifier": "x" * 43, "redirect_uri": "http://x/"}
    assert httpx.post(f"{auth_service.base}/auth/token", data=stolen).status_code == 400
    assert browser.get(back).headers["location"] == "/?sign-in=failed", "it was used up"
    browser.sign_in()
    assert browser.get(back).headers["location"] == "/?sign-in=failed"


def test_the_return_address_is_this_origin_whatever_the_request_says(browser: Browser) -> None:
    away = browser.get("/shop/session/login", params={"redirect_uri": "https://evil.example"})
    query = parse_qs(urlsplit(away.headers["location"]).query)
    assert query["redirect_uri"] == [f"{browser.origin}/shop/session/callback"]
    assert query["code_challenge_method"] == ["S256"]


def test_a_forged_login_cookie_is_refused(browser: Browser) -> None:
    browser.cookies.set("shop_login", "forged", domain="localhost")
    assert browser.get("/shop/session/callback?code=x&state=forged").headers["location"] == "/?sign-in=failed"


def test_there_are_no_demo_buyers_where_people_sign_in(browser: Browser) -> None:
    assert browser.fetch("POST", "/shop/demo/buyers", json={"buyer": 3}).status_code == 400
    browser.cookies.set("shop_buyer_3", "9999999999.token", domain="localhost")
    assert browser.fetch("GET", "/shop/api/reservations/my", headers={"Shop-Buyer": "3"}).status_code == 401


def test_a_token_of_the_page_itself_counts_for_nothing(browser: Browser) -> None:
    """Only the cookie signs in: a script that could name a token could name another buyer's."""
    headers = {"Authorization": "Bearer whatever"}
    assert browser.fetch("GET", "/shop/api/reservations/my", headers=headers).status_code == 401
