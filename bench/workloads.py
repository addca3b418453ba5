"""What is asked of the service, request by request, and which limit it is compared with."""

import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench import catalogue
from bench.load import http

# Ranges of the seats of the large event, so that nobody gets in another's way.
RESERVED = range(1, 30_001)
RESERVED_BY_PGBENCH = range(30_001, 62_001)
CONFIRMED = range(62_001, 77_001)
CONFIRMED_BY_PGBENCH = range(77_001, 98_601)
CROWD = 500

LimitName = Literal[
    "empty view", "same bytes", "pgbench", "redis script", "ws on Node", "raw broadcast", "with statistics", ""
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Requests, the status that each of them should get, and what its limit has to know."""

    requests: Sequence[bytes]
    status: int = 200
    once: bool = False
    bytes_per_answer: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    limit: LimitName
    prepare: Callable[["Buyers"], Prepared]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyers:
    """A thousand users with their tokens, the payment service, and the `web` that they ask."""

    port: int
    tokens: Sequence[str]
    internal_token: str
    database_url: str

    def token(self, number: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[number % len(self.tokens)]}"}


def _event_list(_: Buyers) -> Prepared:
    return Prepared(requests=[http("GET", "/events")])


def _event_detail(_: Buyers) -> Prepared:
    return Prepared(requests=[http("GET", f"/events/{catalogue.other(n)}") for n in range(catalogue.OTHERS)])


def _availability(_: Buyers) -> Prepared:
    types = [catalogue.ticket_type(n)[1] for n in range(catalogue.OTHERS * catalogue.TYPES_OF_OTHERS)]
    return Prepared(requests=[http("GET", f"/tickets/availability/{type_}") for type_ in types])


def _seat_map(buyers: Buyers, **headers: str) -> Prepared:
    path = f"/seats/events/{catalogue.HALL}"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{buyers.port}{path}", headers=sent)
    ) as answer:
        return Prepared(requests=[http("GET", path, **headers)], bytes_per_answer=len(answer.read()))


def _seat_map_unchanged(buyers: Buyers) -> Prepared:
    path = f"/seats/events/{catalogue.HALL}"
    with urllib.request.urlopen(f"http://127.0.0.1:{buyers.port}{path}") as answer:
        return Prepared(requests=[http("GET", path, If_None_Match=answer.headers["ETag"])], status=304)


def _reserve(buyers: Buyers) -> Prepared:
    return reserve_of(buyers, RESERVED)


def reserve_of(buyers: Buyers, numbers: range) -> Prepared:
    """Each of these seats of the large event, by one request."""
    bodies = ({"eventId": catalogue.LARGE, "seatIds": [catalogue.seat("large", n)]} for n in numbers)
    return Prepared(requests=_posts(buyers, "/seats/reserve", bodies), status=201, once=True)


def _buy(buyers: Buyers) -> Prepared:
    types = (catalogue.ticket_type(n) for n in range(10_000))
    bodies = ({"eventId": event, "items": [{"ticketTypeId": type_, "quantity": 1}]} for event, type_ in types)
    return Prepared(requests=_posts(buyers, "/reservations", bodies), status=201)


def _posts(buyers: Buyers, path: str, bodies: Iterable[object]) -> list[bytes]:
    return [http("POST", path, body=body, **buyers.token(n)) for n, body in enumerate(bodies)]


def _confirm(buyers: Buyers) -> Prepared:
    pending = catalogue.reserve_for_confirming(buyers.database_url, CONFIRMED)
    requests = [
        http(
            "POST",
            f"/internal/reservations/{reservation}/confirm",
            body={"amount": 100_000, "paymentMethod": "card", "paymentId": f"payment-{reservation}"},
            X_Internal_Token=buyers.internal_token,
        )
        for reservation in pending
    ]
    return Prepared(requests=requests, once=True)


def _queue(method: str, verb: str) -> Callable[[Buyers], Prepared]:
    def prepare(buyers: Buyers) -> Prepared:
        path = f"/queue/{verb}/{catalogue.LARGE}"
        return Prepared(requests=[http(method, path, **buyers.token(n)) for n in range(catalogue.USERS)])

    return prepare


def one_seat(buyers: Buyers) -> list[bytes]:
    """A crowd that wants the same seat, each of another user."""
    body = {"eventId": catalogue.HALL, "seatIds": [catalogue.seat("hall", 1)]}
    return _posts(buyers, "/seats/reserve", [body] * CROWD)


WORKLOADS = [
    Workload("event list", "empty view", _event_list),
    Workload("event detail", "empty view", _event_detail),
    Workload("availability", "empty view", _availability),
    Workload("seat map", "same bytes", _seat_map),
    Workload("seat map, gzip", "same bytes", lambda buyers: _seat_map(buyers, Accept_Encoding="gzip")),
    Workload("seat map, 304", "empty view", _seat_map_unchanged),
    Workload("reserve", "pgbench", _reserve),
    Workload("buy", "pgbench", _buy),
    Workload("confirm", "pgbench", _confirm),
    Workload("queue check", "redis script", _queue("POST", "check")),
    Workload("queue status", "redis script", _queue("GET", "status")),
    Workload("queue heartbeat", "redis script", _queue("POST", "heartbeat")),
]
