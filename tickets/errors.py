"""Ways to be refused that concern tickets."""

from kernel.errors import Kind, Refused


class TicketTypeNotFound(Refused):
    kind = Kind.NOT_FOUND
    message = "티켓 타입을 찾을 수 없습니다."
    code = "TICKET_TYPE_NOT_FOUND"


class NoSuchTicket(Refused):
    """A purchase names a ticket type that the event does not have."""

    message = "존재하지 않는 티켓입니다."
    code = "NO_SUCH_TICKET"
    by_the_work = True


class QuantityTooSmall(Refused):
    message = "수량은 1개 이상이어야 합니다."
    code = "QUANTITY_TOO_SMALL"
    by_the_work = True


class NotEnoughTickets(Refused):
    code = "NOT_ENOUGH_TICKETS"
    by_the_work = True

    def __init__(self, *, name: str, left: int) -> None:
        super().__init__(f"{name} 티켓이 부족합니다. (남은 수량: {left})")
