"""Signing in at the Auth Service: OAuth 2.0 with a code and PKCE (RFC 6749, RFC 7636). See docs/auth.md."""

import hashlib
import secrets
import time
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.core import signing
from django.utils.http import url_has_allowed_host_and_scheme
from urllib3.exceptions import HTTPError

from kernel.http.auth import AuthServiceUnavailable, InvalidToken
from kernel.http.upstream import NoAnswer, post
from kernel.wire import base64url

LOGIN_SECONDS = 600  # for somebody who has to look for a password
DEFAULT_SECONDS = 3600  # of a token whose length of life the Auth Service does not tell
STATUSES = (200, 400, 401, 403)
_SALT = "shop.login"


class SignInFailed(InvalidToken):
    code = "SIGN_IN_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """`expires_at` is Unix time; `renewal` is empty if the Auth Service gives none."""

    access: str
    renewal: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A sign-in that has begun: where the browser goes, and what its cookie keeps until it is back."""

    address: str
    kept: str


def safe_path(path: str) -> str:
    """Return a path of this origin, or `/` for anything that a browser could take for another address."""
    is_safe = path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    return path if is_safe and not any(character < " " for character in path) else "/"


def begin(*, return_address: str, then: str) -> Login:
    """Return a new sign-in. `return_address` is ours, at this origin; `then` is the path to go to afterwards."""
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = base64url(hashlib.sha256(verifier.encode()).digest())
    query = urlencode(
        {
            "response_type": "code",
            "client_id": settings.SHOP_CLIENT_ID,
            "redirect_uri": return_address,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    joint = "&" if "?" in settings.SHOP_LOGIN_URL else "?"
    kept = signing.dumps({"state": state, "verifier": verifier, "then": safe_path(then)}, salt=_SALT)
    return Login(address=f"{settings.SHOP_LOGIN_URL}{joint}{query}", kept=kept)


def finish(*, kept: str, state: str, code: str, return_address: str) -> tuple[Tokens, str]:
    """Return the tokens for a code, and the path to go to.

    Raises SignInFailed if this browser has not begun this sign-in, or the Auth Service refuses the code, and
    AuthServiceUnavailable.
    """
    try:
        login = signing.loads(kept, salt=_SALT, max_age=LOGIN_SECONDS)
    except signing.BadSignature as error:
        raise SignInFailed from error
    if not code or not secrets.compare_digest(login["state"].encode(), state.encode()):
        raise SignInFailed
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": return_address}
    return _ask_for_tokens({**form, "code_verifier": login["verifier"]}), login["then"]


def renew(renewal: str) -> Tokens:
    """Return new tokens for a refresh token. Raises SignInFailed, AuthServiceUnavailable."""
    tokens = _ask_for_tokens({"grant_type": "refresh_token", "refresh_token": renewal})
    return tokens if tokens.renewal else replace(tokens, renewal=renewal)


def revoke(renewal: str) -> None:
    """Tell the Auth Service that a refresh token is no longer needed (RFC 7009). Raises AuthServiceUnavailable."""
    _post(settings.SHOP_REVOKE_URL, {"token": renewal, "token_type_hint": "refresh_token"})


def _ask_for_tokens(form: dict[str, str]) -> Tokens:
    status, data = _post(settings.SHOP_TOKEN_URL, form)
    if status != 200:
        raise SignInFailed
    try:
        reply = orjson.loads(data)
        access, renewal = reply["access_token"], reply.get("refresh_token") or ""
        seconds = float(reply.get("expires_in") or DEFAULT_SECONDS)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuthServiceUnavailable from error
    if not isinstance(access, str) or not isinstance(renewal, str):
        raise AuthServiceUnavailable
    return Tokens(access=access, renewal=renewal, expires_at=time.time() + seconds)


def _post(url: str, form: dict[str, str]) -> tuple[int, bytes]:
    client = {"client_id": settings.SHOP_CLIENT_ID}
    if settings.SHOP_CLIENT_SECRET:
        client["client_secret"] = settings.SHOP_CLIENT_SECRET
    body = urlencode({**form, **client}).encode()
    try:
        return post(url, body, content_type="application/x-www-form-urlencoded", statuses=STATUSES)
    except (HTTPError, NoAnswer) as error:
        raise AuthServiceUnavailable from error
