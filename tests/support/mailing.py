"""Buyers with names and addresses, and what becomes of their mails."""

import time
from dataclasses import dataclass, field
from typing import Any

import jwt

from tests.support.harness import HALL, TOKENS, Answer, Api, Database, new_user, seat

FROM = "Tickets <tickets@tickets.example>"
PRICE = 150_000  # of the first seats of HALL


@dataclass
class Buyer:
    """`language` is the header Accept-Language of the requests."""

    name: str = "김하나"
    email: str = "hana@example.com"
    language: str = "ko-KR,ko;q=0.9"
    id: str = field(default_factory=new_user)

    @property
    def headers(self) -> dict[str, str]:
        now = int(time.time())
        claims = {"userId": self.id, "email": self.email, "name": self.name, "iat": now, "exp": now + 3600}
        token = jwt.encode(claims, TOKENS["jwt_secret"], algorithm="HS256")
        return {"Authorization": f"Bearer {token}", "Accept-Language": self.language}

    def reserve(self, web: Api, *places: int) -> str:
        """The id of a reservation of these seats of HALL, counted from 1."""
        body = {"eventId": HALL, "seatIds": [seat(1, place) for place in places or (1,)]}
        answer: Answer = web.post("/seats/reserve", body, headers=self.headers)
        assert answer.status == 201, answer.json
        found: str = answer.json["reservation"]["id"]
        return found

    def buy(self, web: Api, *places: int) -> str:
        reservation = self.reserve(web, *places)
        found = web.get(f"/reservations/{reservation}", headers=self.headers).json["reservation"]
        assert web.confirm(reservation, int(found["total_amount"])).status == 200
        return reservation


def statuses(world: Database) -> list[tuple[str, str]]:
    """Kind and status of each mail, in their order."""
    return [(row["kind"], row["status"]) for row in world.rows("SELECT kind, status FROM mails ORDER BY id")]


def the_mail(world: Database) -> dict[str, Any]:
    (row,) = world.rows("SELECT *, next_attempt_at - now() AS pause FROM mails")
    return row
