"""Errors that concern seats."""

from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Any
from uuid import UUID

from kernel.errors import DomainError, InvalidInput, Kind

NO_SEATS: Mapping[UUID, str] = MappingProxyType({})


class SeatMapEventNotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = "Event not found"
    code = "EVENT_NOT_FOUND"


class NoSeatSelection(DomainError):
    kind = Kind.NOT_FOUND
    message = "This event does not have seat selection"
    code = "NO_SEAT_SELECTION"


class TooManySeats(InvalidInput):
    code = "TOO_MANY_SEATS"

    def __init__(self, *, most: int) -> None:
        super().__init__(f"최대 {most}석까지 선택 가능합니다.")


class SeatNotFound(DomainError):
    message = "좌석을 찾을 수 없습니다."
    code = "SEAT_NOT_FOUND"
    result_envelope = True


class SectionNotFound(DomainError):
    message = "구역을 찾을 수 없습니다."
    code = "SECTION_NOT_FOUND"
    result_envelope = True
    shows_code = True


class SeatBeingChosen(DomainError):
    message = "다른 사용자가 선택 중인 좌석입니다. 잠시 후 다시 시도해주세요."
    code = "SEAT_BEING_CHOSEN"
    result_envelope = True


class SeatTaken(DomainError):
    """A seat is locked or sold. `unavailable` are the labels of such seats, which stay so for `unavailable_seconds`."""

    code = "SEAT_TAKEN"
    result_envelope = True

    def __init__(
        self, *, label: str, unavailable: Mapping[UUID, str] = NO_SEATS, unavailable_seconds: float = inf
    ) -> None:
        self.unavailable, self.unavailable_seconds = unavailable, unavailable_seconds
        super().__init__(f"이미 예약된 좌석입니다. ({label})")


class SeatTakenCached(SeatTaken):
    """PostgreSQL has rejected another buyer within the last second, and was not asked again. The next time it may accept."""


class OrphanSeats(DomainError):
    """The buyer's choice would leave seats alone, {id, seat_label}, where the event forbids it.

    `choice` are seats that leave none, {id, seat_label, price}.
    """

    code = "ORPHAN_SEATS"
    result_envelope = True
    shows_code = True

    def __init__(self, *, orphans: Sequence[Mapping[str, Any]], choice: Sequence[Mapping[str, Any]]) -> None:
        self.details = {"orphanSeats": orphans, "suggestedSeats": choice}
        labels = ", ".join(seat["seat_label"] for seat in orphans)
        super().__init__(f"한 좌석만 남게 되어 선택할 수 없습니다. 다른 좌석을 선택해주세요. ({labels})")


class NoSeatsTogether(DomainError):
    """So many seats are not available, not even in two rows; or not those that the buyer wants."""

    message = "조건에 맞는 좌석이 없습니다. 매수나 조건을 바꿔 다시 시도해주세요."
    code = "NO_SEATS_TOGETHER"
    result_envelope = True
    shows_code = True
