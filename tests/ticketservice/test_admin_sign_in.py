"""How often a sign-in to the admin may be tried: for whom it is limited, and for whom it never is."""

from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from devtools.embedded import Servers
from kernel.backoffice import sign_in
from kernel.config.rates import Rate
from kernel.redis import rate_limits
from tests.support.harness import Database, at_once
from tests.support.subscribers import as_worker

LOGIN = "/admin/login/"
RIGHT = "correct horse battery staple"
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.7"


@pytest.fixture(autouse=True)
def accounts(world: Database, settings: Any) -> None:
    settings.RATE_LIMIT_ADMIN_LOGIN = Rate(3, 900)
    settings.TRUSTED_PROXIES = 1
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ]  # a password is looked at, and quickly
    rate_limits._own._whole_at.clear()
    for name in ("minji", "jisoo"):
        User.objects.filter(username=name).delete()
        User.objects.create_user(name, password=RIGHT, is_staff=True)


def try_to_sign_in(
    username: str, password: str, address: str = HERE, browser: Client | None = None, **headers: str
) -> Any:
    form = {"username": username, "password": password, "next": "/admin/"}
    return (browser or Client()).post(LOGIN, form, HTTP_X_FORWARDED_FOR=address, **headers)


def guess(username: str, times: int, address: str = HERE) -> list[int]:
    return [try_to_sign_in(username, f"guess-{n}", address).status_code for n in range(times)]


def test_after_some_attempts_not_even_the_right_password_is_looked_at() -> None:
    assert guess("minji", 4) == [200, 200, 200, 429]
    refused = try_to_sign_in("minji", RIGHT, HTTP_ACCEPT_LANGUAGE="en")
    assert refused.status_code == 429
    assert "Try again in 5 minutes" in refused.content.decode()
    assert 290 <= int(refused["Retry-After"]) <= 300
    assert refused["RateLimit-Policy"] == '"admin-login";q=3;w=900'
    assert "5분 후에 다시 시도하세요" in try_to_sign_in("minji", RIGHT, HTTP_ACCEPT_LANGUAGE="ko").content.decode()


def test_whoever_guesses_elsewhere_shuts_nobody_out() -> None:
    assert guess("minji", 5, ELSEWHERE)[-1] == 429
    assert try_to_sign_in("minji", RIGHT, HERE).status_code == 302


def test_whoever_guesses_one_account_shuts_out_no_colleague_at_the_same_address() -> None:
    assert guess("minji", 5)[-1] == 429
    assert try_to_sign_in("jisoo", RIGHT).status_code == 302


def test_a_browser_that_is_known_is_not_shut_out_from_the_same_address_either() -> None:
    browser = Client()
    assert try_to_sign_in("minji", RIGHT, browser=browser).status_code == 302
    browser.post("/admin/logout/")
    assert guess("minji", 5)[-1] == 429
    assert try_to_sign_in("minji", RIGHT, browser=browser).status_code == 302
    assert try_to_sign_in("minji", RIGHT).status_code == 429, "another browser"


def test_the_cookie_of_one_account_is_worth_nothing_for_another() -> None:
    browser = Client()
    try_to_sign_in("jisoo", RIGHT, browser=browser)
    browser.post("/admin/logout/")
    assert browser.cookies[sign_in.DEVICE_COOKIE]["httponly"]
    assert guess("minji", 4)[-1] == 429
    assert try_to_sign_in("minji", "guess", browser=browser).status_code == 429
    browser.cookies[sign_in.DEVICE_COOKIE] = "forged:1:signature"
    assert guess("jisoo", 4)[-1] == 429
    assert try_to_sign_in("jisoo", "guess", browser=browser).status_code == 429


def test_a_known_browser_has_an_allowance_of_its_own_and_no_more() -> None:
    browser = Client()
    try_to_sign_in("minji", RIGHT, browser=browser)
    tried = [try_to_sign_in("minji", "guess", browser=browser).status_code for _ in range(4)]
    assert tried == [200, 200, 200, 429]


def test_signing_in_gives_the_allowance_back() -> None:
    for _ in range(4):
        assert guess("minji", 2) == [200, 200]
        assert try_to_sign_in("minji", RIGHT).status_code == 302


def test_spellings_of_one_account_count_together() -> None:
    spellings = ["minji", " minji", "MINJI", "\uff4dinji", "minji "]  # the fourth is as wide as Korean
    assert [try_to_sign_in(name, "guess").status_code for name in spellings] == [200] * 3 + [429] * 2


def test_neighbours_in_an_ipv6_network_are_one_address() -> None:
    addresses = [f"2001:db8:5:6::{n}" for n in range(4)]
    assert [try_to_sign_in("minji", "guess", address).status_code for address in addresses] == [200] * 3 + [429]
    assert try_to_sign_in("minji", RIGHT, "2001:db8:5:7::1").status_code == 302


def test_many_at_once_are_counted_too() -> None:
    tried = at_once([as_worker(partial(try_to_sign_in, "minji", f"guess-{number}")) for number in range(12)])
    assert sorted(response.status_code for response in tried) == [200] * 3 + [429] * 9


def test_without_redis_each_process_counts_by_itself(redis_server: Servers) -> None:
    redis_server.stop_redis()
    assert guess("minji", 4) == [200, 200, 200, 429]
    assert try_to_sign_in("minji", RIGHT, ELSEWHERE).status_code == 302
    assert try_to_sign_in("jisoo", RIGHT).status_code == 302


def test_the_own_count_keeps_a_bounded_number_and_forgets_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_REMEMBERED", 100)
    own = rate_limits._OwnMemory()
    assert [own.spend("victim", rate_interval=10**9, rate_period=2 * 10**9) for _ in range(3)][:2] == [None, None]
    for n in range(1000):
        own.spend(f"random-{n}", rate_interval=10**6, rate_period=10**9)
    assert len(own._whole_at) == 100
    assert own.spend("victim", rate_interval=10**9, rate_period=2 * 10**9) is not None, "a flood does not clear it"


def test_names_are_not_written_to_redis(redis: Any) -> None:
    guess("m" * 5000, 1)
    (key,) = redis.keys("rate:admin-login:*")
    assert len(key) == len("rate:admin-login:") + 32
    assert 0 < redis.pttl(key) <= 300_000
