"""The service as simulated buyers see it."""

import asyncio
import time
import uuid
from typing import Any

import httpx
import jwt

CONNECTIONS = 64
MAP_SECONDS = 1.0  # for which all buyers of a crowd look at the same seat map
TOKEN_SECONDS = 4 * 3600
ATTEMPTS = 3

# Of every simulated buyer, so that their reservations can be told from those of people.
FIRST_BUYER = uuid.UUID("c40d0000-0000-4000-8000-000000000000")
LAST_BUYER = uuid.UUID("c40d0000-0000-4000-8000-ffffffffffff")


def buyer_id(number: int) -> uuid.UUID:
    """Return the user id of a simulated buyer; `number` is below 2^48."""
    return uuid.UUID(int=FIRST_BUYER.int + number)


class ErrorResponse(Exception):
    """The service has said no: `status` and `code` as in docs/errors.md."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}")


class Api:
    """The API at an address. Raises ErrorResponse for an error response; connections that break are tried again."""

    def __init__(self, base: str, *, jwt_secret: str, internal_token: str) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(base_url=base, timeout=30, limits=limits)
        self._jwt_secret = jwt_secret
        self._internal = {"X-Internal-Token": internal_token}
        self._map: dict[str, Any] = {}
        self._map_read_at = 0.0
        self._reading = asyncio.Lock()

    async def close(self) -> None:
        await self._http.aclose()

    def bearer(self, user: uuid.UUID, role: str = "user") -> dict[str, str]:
        now = int(time.time())
        claims = {"userId": str(user), "email": "", "name": "", "role": role, "iat": now, "exp": now + TOKEN_SECONDS}
        return {"Authorization": f"Bearer {jwt.encode(claims, self._jwt_secret, algorithm='HS256')}"}

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return await self._call("GET", path, None, headers or {})

    async def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return await self._call("POST", path, body, headers or {})

    async def pay(self, reservation: str, call: str, body: Any = None) -> Any:
        """What the payment service says of a reservation: begin-payment, confirm or fail-payment."""
        return await self.post(f"/internal/reservations/{reservation}/{call}", body, self._internal)

    async def seat_map(self, event: str) -> dict[str, Any]:
        """Return the seat map, at most MAP_SECONDS old: a thousand maps would cost more than the crowd that looks."""
        async with self._reading:
            if time.monotonic() - self._map_read_at > MAP_SECONDS:
                self._map = await self.get(f"/seats/events/{event}")
                self._map_read_at = time.monotonic()
            return self._map

    async def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        headers = {**headers, "Accept": "application/problem+json"}
        for attempt in range(ATTEMPTS):
            try:
                response = await self._http.request(method, path, json=body, headers=headers)
                break
            except httpx.TransportError:
                if attempt == ATTEMPTS - 1:
                    raise ErrorResponse(0, "NO_ANSWER") from None
                await asyncio.sleep(1)
        found = response.json() if response.content else {}
        if response.is_error:
            raise ErrorResponse(response.status_code, found.get("code", ""))
        return found
