"""Ways to be refused that concern the waiting room."""

from django.utils.translation import gettext_noop as _

from kernel.errors import DomainError, Kind, Unavailable


class NotAdmitted(DomainError):
    """Somebody who waits, or for whom there is no room inside, wants to buy."""

    kind = Kind.FORBIDDEN
    message = "대기열을 통해 입장해주세요."
    code = "NOT_ADMITTED"


class LineClosed(DomainError):
    kind = Kind.CONFLICT
    message = _("종료된 이벤트입니다.")
    code = "LINE_CLOSED"


class WaitingRoomUnavailable(Unavailable):
    """Redis does not answer: nobody knows who has been let in."""

    code = "WAITING_ROOM_UNAVAILABLE"
    retry_after = 2


class NoDraw(DomainError):
    kind = Kind.NOT_FOUND
    message = "추첨이 없는 이벤트입니다."
    code = "NO_DRAW"


class OpeningIsOver(DomainError):
    """For an administrator: what was drawn is drawn."""

    kind = Kind.CONFLICT
    message = _("이미 오픈된 대기열의 오픈 시각은 변경할 수 없습니다.")
    code = "OPENING_IS_OVER"
