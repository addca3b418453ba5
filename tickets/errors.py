"""Ways to be refused that concern tickets."""

from kernel.errors import DomainError, Kind


class TicketTypeNotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = "티켓 타입을 찾을 수 없습니다."
    code = "TICKET_TYPE_NOT_FOUND"


class NoSuchTicket(DomainError):
    """A purchase names a ticket type that the event does not have."""

    message = "존재하지 않는 티켓입니다."
    code = "NO_SUCH_TICKET"
    result_envelope = True


class QuantityTooSmall(DomainError):
    message = "수량은 1개 이상이어야 합니다."
    code = "QUANTITY_TOO_SMALL"
    result_envelope = True


class NotEnoughTickets(DomainError):
    code = "NOT_ENOUGH_TICKETS"
    result_envelope = True

    def __init__(self, *, name: str, left: int) -> None:
        super().__init__(f"{name} 티켓이 부족합니다. (남은 수량: {left})")
