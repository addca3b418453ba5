"""Authentication: bearer tokens to users.

With AUTH_SERVICE_URL the Auth Service verifies tokens and names the user and their role. Otherwise tokens are verified
here: HS256 with JWT_SECRET, or RS256 with JWT_PUBLIC_KEY. Verified tokens are cached for at most a minute, and never beyond
their expiry: in Redis by their hash, so that all processes share one request to the Auth Service, and in this process, so
that a burst of requests from one user costs no round trip. A token that the Auth Service has refused is remembered for some
seconds in this process.
"""

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
from django.conf import settings

from kernel.errors import DomainError, InvalidInput, Kind, Unavailable
from kernel.http.auth_service import post_token
from kernel.http.upstream import NoAnswer
from kernel.redis.client import RedisUnavailable
from kernel.redis.deferred import execute
from kernel.redis.rate_limits import RateLimit
from kernel.wire import parse_id

if TYPE_CHECKING:
    from jwt.types import Options

CACHE_SECONDS = 60  # the maximum that the wire contract allows
# Replies of the Auth Service are cached for less time in the process: they may change, and a signature does not.
PROCESS_CACHE_SECONDS = 5
REFUSAL_SECONDS = 5  # for which the Auth Service is not asked about a token again that it has refused
REMEMBERED = 10_000

ADMINISTRATOR = "admin"
BAD_TOKENS = RateLimit("bad-tokens", "RATE_LIMIT_BAD_TOKENS")  # of each address


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


class ScopeMissing(DomainError):
    """A token of SERVICE_TOKENS that is for something else."""

    kind = Kind.FORBIDDEN
    message = "The token does not have the scope for this"
    code = "SCOPE_MISSING"
    shows_code = True


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


# The user is in `userId`; issuers put what they like, such as an integer, into the others.
_CLAIMS: "Options" = {"verify_aud": False, "verify_sub": False, "verify_jti": False}


def verify_from(token: str, client: Callable[[], str]) -> User:
    """Return the user of a token. `client` returns whom it has come from, see `kernel.http.addresses.network_of`.

    Raises what `verify` raises; RateLimited for a token that does not verify, if too many of the client's did not.
    """
    # A valid token is never refused, and costs no round trip, whatever else comes from its address: many people share one.
    try:
        return verify(token)
    except (InvalidToken, UserNotFound):
        BAD_TOKENS.spend(client())
        raise


def _verify_locally(token: str) -> tuple[User, float]:
    import jwt  # here: it imports cryptography (8 MB), which is not needed where the Auth Service verifies

    key, algorithm = (settings.JWT_SECRET, "HS256") if settings.JWT_SECRET else (settings.JWT_PUBLIC_KEY, "RS256")
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options=_CLAIMS, leeway=settings.TOKEN_LEEWAY_SECONDS)
        until = _cache_until(claims)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidToken from error
    if until <= time.time():  # the leeway is for clocks that are fast, not for tokens that have expired
        raise InvalidToken
    return _user(claims), until


def _verify_by_auth_service(token: str) -> tuple[User, float]:
    """Return the Auth Service's user, from Redis if it was cached within the last minute."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    if refusal := _refusals.get(digest):
        raise refusal
    key = f"auth:token:{digest}"
    try:
        if (cached := execute(lambda redis: redis.get(key))) is not None:
            *fields, until = orjson.loads(cached)
            return User(*fields), until
    except RedisUnavailable:
        pass
    try:
        user = _fetch_user(token)
    except (InvalidToken, UserNotFound) as error:
        _refusals.put(digest, type(error), until=time.time() + REFUSAL_SECONDS)
        raise
    until = min(time.time() + CACHE_SECONDS, _unverified_expiry(token))
    ttl_ms = int((until - time.time()) * 1000)
    if ttl_ms > 0:
        with contextlib.suppress(RedisUnavailable):
            execute(lambda redis: redis.set(key, orjson.dumps([*asdict(user).values(), until]), px=ttl_ms))
    return user, until


def _fetch_user(token: str) -> User:
    """POST /auth/verify-token: 200 with the user, 4xx for a bad token, 404 for an unknown user, else unavailable."""
    try:
        status, data = post_token(token)
    except NoAnswer as error:
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
    if valid is not True:
        raise InvalidToken
    return _user(user if isinstance(user, dict) else {})


def _user(claims: dict[str, Any]) -> User:
    """Return the user that the claims name. Raises UserNotFound if they do not contain a user id."""
    try:
        user_id = str(parse_id(claims.get("userId"), ""))
    except InvalidInput as error:
        raise UserNotFound from error
    return User(
        user_id=user_id,
        email=str(claims.get("email") or ""),
        name=str(claims.get("name") or ""),
        role=str(claims.get("role") or "user"),
    )


def _cache_until(claims: dict[str, Any]) -> float:
    """Return the Unix time until which a verified token may be cached."""
    # Integers of JSON have no bound, and those of `float` have one.
    expires_at = claims.get("exp", "inf")
    return min(time.time() + CACHE_SECONDS, expires_at if isinstance(expires_at, int) else float(expires_at))


def _unverified_expiry(token: str) -> float:
    """Return `exp` (Unix time) of a token that the Auth Service has verified, without checking its signature."""
    try:
        claims = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        return float(orjson.loads(decoded).get("exp", "inf"))
    except (IndexError, ValueError, TypeError, AttributeError):
        return float("inf")  # not a JWT: the Auth Service may issue opaque tokens


# --- The memory of this process ---------------------------------------------------------------------------------------

Value = TypeVar("Value")


class _Memory(Generic[Value]):
    """Values by key, each until its Unix time; at most REMEMBERED of them."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Value, float]] = {}
        self._lock = Lock()

    def get(self, key: str) -> Value | None:
        found = self._values.get(key)
        return found[0] if found and found[1] > time.time() else None

    def put(self, key: str, value: Value, *, until: float) -> None:
        with self._lock:
            if len(self._values) >= REMEMBERED:
                self._values.clear()
            self._values[key] = value, until


_users: _Memory[User] = _Memory()  # by token
_refusals: _Memory[type[DomainError]] = _Memory()  # by a token's hash: bad tokens may be long, and all different


def _cached_in_process(token: str, verify_token: Callable[[str], tuple[User, float]], *, seconds: float) -> User:
    if cached := _users.get(token):
        return cached
    now = time.time()
    user, until = verify_token(token)
    _users.put(token, user, until=min(until, now + seconds))
    return user
