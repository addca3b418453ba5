"""Domain errors of the waiting room."""

from django.utils.translation import gettext_noop as _

from kernel.errors import DomainError, Kind, Unavailable


class NotAdmitted(DomainError):
    """A buyer who has not been admitted, and for whom there is no room."""

    kind = Kind.FORBIDDEN
    message = "대기열을 통해 입장해주세요."
    code = "NOT_ADMITTED"


class QueueClosed(DomainError):
    kind = Kind.CONFLICT
    message = _("종료된 이벤트입니다.")
    code = "QUEUE_CLOSED"


class WaitingRoomUnavailable(Unavailable):
    """Redis does not answer: nobody knows who has been admitted."""

    code = "WAITING_ROOM_UNAVAILABLE"
    retry_after = 2


class NoDraw(DomainError):
    kind = Kind.NOT_FOUND
    message = "추첨이 없는 이벤트입니다."
    code = "NO_DRAW"


class QueueAlreadyOpen(DomainError):
    """For an administrator: the draw cannot be held again."""

    kind = Kind.CONFLICT
    message = _("이미 오픈된 대기열의 오픈 시각은 변경할 수 없습니다.")
    code = "QUEUE_ALREADY_OPEN"


class ChallengeRequired(DomainError):
    """A newcomer who has to solve the join challenge first: `GET /queue/challenge/:eventId`."""

    kind = Kind.FORBIDDEN
    message = "대기열에 참여하려면 확인 절차가 필요합니다."
    code = "CHALLENGE_REQUIRED"
    shows_code = True


class ChallengeFailed(DomainError):
    """A wrong or outdated response to the join challenge."""

    kind = Kind.FORBIDDEN
    message = "확인에 실패했습니다. 다시 시도해주세요."
    code = "CHALLENGE_FAILED"
    shows_code = True


class ChallengeUnavailable(Unavailable):
    """The service that verifies responses does not answer."""

    code = "CHALLENGE_UNAVAILABLE"
    retry_after = 2


class NoChallenge(DomainError):
    kind = Kind.NOT_FOUND
    message = "확인 절차가 없습니다."
    code = "NO_CHALLENGE"
