"""Who is asking: bearer tokens to users.

With AUTH_SERVICE_URL the Auth Service is asked, and its word on the user and the role counts; otherwise tokens are
verified here, HS256 with JWT_SECRET or RS256 with JWT_PUBLIC_KEY. Verified tokens are remembered for at most a minute
and never past their own expiry: in Redis by a hash (so that all processes share one question to the Auth Service), and in
this process (so that a burst from one user costs no round trip at all; for 5 s only if the Auth Service has said it).
"""

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from threading import Lock
from typing import Any
from uuid import UUID

import orjson
import urllib3
from django.conf import settings

from kernel.concurrency.circuit_breaker import BreakerOpen, CircuitBreaker
from kernel.errors import DomainError, Kind, Unavailable
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute

REMEMBER_SECONDS = 60  # the wire contract's most
REMEMBER_HERE_SECONDS = 5  # what the Auth Service has said; what was verified here stays true
REMEMBER_HERE_TOKENS = 10_000
AUTH_SERVICE_TIMEOUT = 2.0  # seconds

ADMINISTRATOR = "admin"


class NotAuthenticated(DomainError):
    kind = Kind.UNAUTHENTICATED
    message = "인증이 필요합니다."
    code = "UNAUTHENTICATED"


class InvalidToken(DomainError):
    kind = Kind.FORBIDDEN
    message = "유효하지 않은 토큰입니다."
    code = "INVALID_TOKEN"


class UserNotFound(DomainError):
    kind = Kind.UNAUTHENTICATED
    message = "사용자 정보를 찾을 수 없습니다. 다시 로그인해주세요."
    code = "USER_NOT_FOUND"
    shows_code = True


class AdministratorsOnly(DomainError):
    kind = Kind.FORBIDDEN
    message = "관리자 권한이 필요합니다."
    code = "ADMINISTRATORS_ONLY"


class InternalOnly(DomainError):
    kind = Kind.FORBIDDEN
    message = "Invalid internal token"
    code = "INVALID_INTERNAL_TOKEN"


class AuthServiceUnavailable(Unavailable):
    message = "인증 서비스에 연결할 수 없습니다. 잠시 후 다시 시도해주세요."
    code = "AUTH_SERVICE_UNAVAILABLE"
    retry_after = 2


@dataclass(frozen=True, slots=True)
class User:
    """The user of a verified token. `user_id` is a lower-case UUID."""

    user_id: str
    email: str
    name: str
    role: str
    is_authenticated = True

    @property
    def is_administrator(self) -> bool:
        return self.role == ADMINISTRATOR


# --- Verifying --------------------------------------------------------------------------------------------------------


def verify(token: str) -> User:
    """The user of a token. Raises InvalidToken, UserNotFound or AuthServiceUnavailable."""
    if settings.AUTH_SERVICE_URL:
        return _remembered_here(token, _ask_auth_service, seconds=REMEMBER_HERE_SECONDS)
    return _remembered_here(token, _verify_locally, seconds=REMEMBER_SECONDS)


def _verify_locally(token: str) -> tuple[User, float]:
    import jwt  # here, since it brings cryptography (8 MB), which nobody needs where the Auth Service verifies

    key, algorithm = (settings.JWT_SECRET, "HS256") if settings.JWT_SECRET else (settings.JWT_PUBLIC_KEY, "RS256")
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options={"verify_aud": False})
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidToken from error
    return _user(claims), _expiry(claims)


def _ask_auth_service(token: str) -> tuple[User, float]:
    """The Auth Service's answer, from Redis if it was given within the last minute."""
    key = f"auth:token:{hashlib.sha256(token.encode()).hexdigest()}"
    try:
        if (known := execute(lambda redis: redis.get(key))) is not None:
            *fields, until = orjson.loads(known)
            return User(*fields), until
    except RedisUnavailable:
        pass
    user = _verified_by_auth_service(token)
    until = min(time.time() + REMEMBER_SECONDS, _unverified_expiry(token))
    life_ms = int((until - time.time()) * 1000)
    if life_ms > 0:
        with contextlib.suppress(RedisUnavailable):
            execute(lambda redis: redis.set(key, orjson.dumps([*asdict(user).values(), until]), px=life_ms))
    return user, until


_breaker = CircuitBreaker(failures=3, rest=2.0, counts=(urllib3.exceptions.HTTPError, Unavailable))


@cache
def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=32, retries=False, timeout=urllib3.Timeout(total=AUTH_SERVICE_TIMEOUT, connect=AUTH_SERVICE_TIMEOUT)
    )


def _verified_by_auth_service(token: str) -> User:
    """POST /auth/verify-token: 200 with the user, 401 bad token, 404 no such user; anything else is no answer."""

    def ask() -> tuple[int, bytes]:
        url = f"{settings.AUTH_SERVICE_URL}/auth/verify-token"
        body = orjson.dumps({"token": token})
        answer = _http().request("POST", url, body=body, headers={"Content-Type": "application/json"})
        if answer.status not in (200, 400, 401, 403, 404):
            raise AuthServiceUnavailable
        return answer.status, answer.data

    try:
        with _breaker:
            status, data = ask()
    except (BreakerOpen, urllib3.exceptions.HTTPError) as error:
        raise AuthServiceUnavailable from error
    if status == 404:
        raise UserNotFound
    if status != 200:
        raise InvalidToken
    try:
        answer = orjson.loads(data)
        valid, user = answer.get("valid"), answer.get("user")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise AuthServiceUnavailable from error
    if not valid:
        raise InvalidToken
    return _user(user if isinstance(user, dict) else {})


def _user(claims: dict[str, Any]) -> User:
    """The user that claims name. Raises UserNotFound when they name none."""
    try:
        user_id = str(UUID(str(claims["userId"])))
    except (KeyError, ValueError) as error:
        raise UserNotFound from error
    return User(
        user_id=user_id,
        email=str(claims.get("email") or ""),
        name=str(claims.get("name") or ""),
        role=str(claims.get("role") or "user"),
    )


def _expiry(claims: dict[str, Any]) -> float:
    """Seconds since the epoch until which a verified token may be remembered."""
    return min(time.time() + REMEMBER_SECONDS, float(claims.get("exp", "inf")))


def _unverified_expiry(token: str) -> float:
    """`exp` of a token that the Auth Service has found good; its signature is not ours to check."""
    try:
        claims = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        return float(orjson.loads(decoded).get("exp", "inf"))
    except (IndexError, ValueError, TypeError, AttributeError):
        return float("inf")  # not a JWT: the Auth Service may use opaque tokens


# --- Remembering in this process --------------------------------------------------------------------------------------

_here: dict[str, tuple[User, float]] = {}
_here_lock = Lock()


def _remembered_here(token: str, verify_token: Callable[[str], tuple[User, float]], *, seconds: float) -> User:
    now = time.time()
    if (known := _here.get(token)) and known[1] > now:
        return known[0]
    user, until = verify_token(token)
    with _here_lock:
        if len(_here) >= REMEMBER_HERE_TOKENS:
            _here.clear()
        _here[token] = user, min(until, now + seconds)
    return user
