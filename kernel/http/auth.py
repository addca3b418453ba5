"""Authentication: bearer tokens to users.

With AUTH_SERVICE_URL the Auth Service verifies tokens and names the user and their role. Otherwise tokens are verified
here: HS256 with JWT_SECRET, or RS256 with JWT_PUBLIC_KEY. Verified tokens are cached for at most a minute, and never beyond
their expiry: in Redis by their hash, so that all processes share one request to the Auth Service, and in this process, so
that a burst of requests from one user costs no round trip.
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

CACHE_SECONDS = 60  # the maximum that the wire contract allows
# Replies of the Auth Service are cached for less time in the process: they may change, and a signature does not.
PROCESS_CACHE_SECONDS = 5
PROCESS_CACHE_TOKENS = 10_000
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
    """Return the user of a token. Raises InvalidToken, UserNotFound or AuthServiceUnavailable."""
    if settings.AUTH_SERVICE_URL:
        return _cached_in_process(token, _verify_by_auth_service, seconds=PROCESS_CACHE_SECONDS)
    return _cached_in_process(token, _verify_locally, seconds=CACHE_SECONDS)


def _verify_locally(token: str) -> tuple[User, float]:
    import jwt  # here: it imports cryptography (8 MB), which is not needed where the Auth Service verifies

    key, algorithm = (settings.JWT_SECRET, "HS256") if settings.JWT_SECRET else (settings.JWT_PUBLIC_KEY, "RS256")
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options={"verify_aud": False})
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidToken from error
    return _user(claims), _cache_until(claims)


def _verify_by_auth_service(token: str) -> tuple[User, float]:
    """Return the Auth Service's user, from Redis if it was cached within the last minute."""
    key = f"auth:token:{hashlib.sha256(token.encode()).hexdigest()}"
    try:
        if (cached := execute(lambda redis: redis.get(key))) is not None:
            *fields, until = orjson.loads(cached)
            return User(*fields), until
    except RedisUnavailable:
        pass
    user = _fetch_user(token)
    until = min(time.time() + CACHE_SECONDS, _unverified_expiry(token))
    ttl_ms = int((until - time.time()) * 1000)
    if ttl_ms > 0:
        with contextlib.suppress(RedisUnavailable):
            execute(lambda redis: redis.set(key, orjson.dumps([*asdict(user).values(), until]), px=ttl_ms))
    return user, until


_breaker = CircuitBreaker(
    failure_threshold=3, reset_timeout=2.0, failure_types=(urllib3.exceptions.HTTPError, Unavailable)
)


@cache
def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=32, retries=False, timeout=urllib3.Timeout(total=AUTH_SERVICE_TIMEOUT, connect=AUTH_SERVICE_TIMEOUT)
    )


def _fetch_user(token: str) -> User:
    """POST /auth/verify-token: 200 with the user, 4xx for a bad token, 404 for an unknown user, else unavailable."""
    try:
        with _breaker:
            status, data = _post_token(token)
    except (BreakerOpen, urllib3.exceptions.HTTPError) as error:
        raise AuthServiceUnavailable from error
    if status == 404:
        raise UserNotFound
    if status != 200:
        raise InvalidToken
    try:
        reply = orjson.loads(data)
        valid, user = reply.get("valid"), reply.get("user")
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise AuthServiceUnavailable from error
    if not valid:
        raise InvalidToken
    return _user(user if isinstance(user, dict) else {})


def _post_token(token: str) -> tuple[int, bytes]:
    url = f"{settings.AUTH_SERVICE_URL}/auth/verify-token"
    body = orjson.dumps({"token": token})
    response = _http().request("POST", url, body=body, headers={"Content-Type": "application/json"})
    if response.status not in (200, 400, 401, 403, 404):
        raise AuthServiceUnavailable
    return response.status, response.data


def _user(claims: dict[str, Any]) -> User:
    """Return the user that the claims name. Raises UserNotFound if they do not contain a user id."""
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


def _cache_until(claims: dict[str, Any]) -> float:
    """Return the Unix time until which a verified token may be cached."""
    return min(time.time() + CACHE_SECONDS, float(claims.get("exp", "inf")))


def _unverified_expiry(token: str) -> float:
    """Return `exp` (Unix time) of a token that the Auth Service has verified, without checking its signature."""
    try:
        claims = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        return float(orjson.loads(decoded).get("exp", "inf"))
    except (IndexError, ValueError, TypeError, AttributeError):
        return float("inf")  # not a JWT: the Auth Service may issue opaque tokens


# --- The cache of this process ----------------------------------------------------------------------------------------

_users: dict[str, tuple[User, float]] = {}  # by token, with the Unix time of expiry
_users_lock = Lock()


def _cached_in_process(token: str, verify_token: Callable[[str], tuple[User, float]], *, seconds: float) -> User:
    now = time.time()
    if (cached := _users.get(token)) and cached[1] > now:
        return cached[0]
    user, until = verify_token(token)
    with _users_lock:
        if len(_users) >= PROCESS_CACHE_TOKENS:
            _users.clear()
        _users[token] = user, min(until, now + seconds)
    return user
