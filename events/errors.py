"""Ways to be refused that concern an event."""

from kernel.errors import Kind, Refused


class EventNotFound(Refused):
    kind = Kind.NOT_FOUND
    message = "이벤트를 찾을 수 없습니다."
    code = "EVENT_NOT_FOUND"


class NotOnSale(Refused):
    message = "판매 중인 이벤트가 아닙니다."
    code = "NOT_ON_SALE"
    by_the_work = True


class ImpossibleLayout(Refused):
    """A layout from which no seats can be made; the message says what to mend, for an organiser."""

    code = "IMPOSSIBLE_LAYOUT"
    by_the_work = True
