"""Errors that concern reservations."""

import math
from typing import Any

from django.utils.translation import gettext_noop as _

from kernel.errors import DomainError, Kind

RESERVATION_STATUS = "Reservation-Status"  # the header of responses to a confirmation


class LayoutInUse(DomainError):
    """For an organiser."""

    kind = Kind.CONFLICT
    message = _("판매된 좌석이 있어 좌석 배치를 변경할 수 없습니다.")
    code = "LAYOUT_IN_USE"
    result_envelope = True


class StockIsSold(DomainError):
    """For an organiser: the total would be less than the tickets that are reserved or sold."""

    kind = Kind.CONFLICT
    template = _("%(name)s: %(taken)s are reserved or sold, so the total cannot be less.")
    code = "STOCK_IS_SOLD"
    result_envelope = True

    def __init__(self, *, name: str, taken: int) -> None:
        self.values = {"name": name, "taken": taken}
        super().__init__(self.template % self.values)


class AmountTooLarge(DomainError):
    message = "결제 금액이 너무 큽니다."
    code = "AMOUNT_TOO_LARGE"
    result_envelope = True


class TicketLimitReached(DomainError):
    """With what is wanted a buyer would have more than `most` seats and tickets of an event."""

    code = "TICKET_LIMIT_REACHED"
    result_envelope = True
    shows_code = True

    def __init__(self, *, most: int) -> None:
        super().__init__(f"1인당 최대 {most}매까지 예매할 수 있습니다.")


class SeatRecentlyReleased(DomainError):
    """The buyer has released the seat, or let its hold lapse, unpaid."""

    code = "SEAT_RECENTLY_RELEASED"
    result_envelope = True
    shows_code = True

    def __init__(self, *, label: str, seconds: float) -> None:
        super().__init__(f"결제하지 않고 놓은 좌석은 {math.ceil(seconds)}초 후에 다시 선택할 수 있습니다. ({label})")


class UnpaidTimeUsedUp(DomainError):
    """The buyer has held places of the event for as long as one may without paying."""

    message = "결제하지 않고 좌석이나 티켓을 보유할 수 있는 시간을 모두 사용했습니다. 나중에 다시 시도해주세요."
    code = "UNPAID_TIME_USED_UP"
    result_envelope = True
    shows_code = True


class ReservationNotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = _("예매 내역을 찾을 수 없습니다.")
    code = "RESERVATION_NOT_FOUND"


class SeatReservationNotFound(ReservationNotFound):
    message = "예약을 찾을 수 없습니다."


class NothingToCancel(DomainError):
    """ReservationNotFound when a buyer cancels: another status and another shape, recorded so."""

    message = _("예매 내역을 찾을 수 없습니다.")
    code = "RESERVATION_NOT_FOUND"
    result_envelope = True


class AlreadyCancelled(DomainError):
    message = _("이미 취소된 예매입니다.")
    code = "RESERVATION_CANCELLED"
    result_envelope = True


class AlreadyExpired(DomainError):
    message = _("이미 만료된 예매입니다.")
    code = "RESERVATION_EXPIRED"
    result_envelope = True


class AlreadyPaid(DomainError):
    """PaidTwice when a buyer changes the seats of a reservation."""

    message = "이미 결제된 예매입니다."
    code = "ALREADY_PAID"
    result_envelope = True


class CancellationClosed(DomainError):
    """The buyer of a paid reservation comes after its event's cancellation deadline."""

    message = _("취소 가능 기간이 지났습니다.")
    code = "CANCELLATION_CLOSED"
    result_envelope = True
    shows_code = True


class PaymentInProgress(DomainError):
    """A reservation that somebody is paying for stays as it is until then."""

    kind = Kind.CONFLICT
    message = _("결제가 진행 중인 예매입니다. 결제가 끝난 후 다시 시도해주세요.")
    code = "PAYMENT_IN_PROGRESS"
    result_envelope = True
    shows_code = True


class HoldLimitReached(DomainError):
    """The hold cannot be extended any further."""

    kind = Kind.CONFLICT
    message = "예매 시간을 더 이상 연장할 수 없습니다."
    code = "HOLD_LIMIT_REACHED"
    result_envelope = True
    shows_code = True


class NotAPart(DomainError):
    """A reservation of which a part is to be cancelled does not have these seats or tickets."""

    message = "취소할 좌석 또는 티켓을 예매 내역에서 찾을 수 없습니다."
    code = "NOT_A_PART"
    result_envelope = True
    shows_code = True


class PartIsUnpaid(DomainError):
    """Only of a paid reservation a part can be cancelled."""

    kind = Kind.CONFLICT
    message = "결제가 완료된 예매만 일부 취소할 수 있습니다."
    code = "NOT_PAID"
    result_envelope = True
    shows_code = True


class RefundNotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = _("환불 내역을 찾을 수 없습니다.")
    code = "REFUND_NOT_FOUND"


class SeatStatusDiffers(DomainError):
    """A seat of the reservation is not in the state that the reservation's status implies; the audit reports it, too."""

    kind = Kind.CONFLICT
    message = _("좌석의 상태가 예매와 일치하지 않아 처리할 수 없습니다. 고객센터에 문의해주세요.")
    code = "SEAT_STATUS_DIFFERS"
    result_envelope = True


class PaymentRefused(DomainError):
    kind = Kind.CONFLICT
    result_envelope = True
    shows_code = True
    reservation_status = ""  # as it is now, whatever it was when the payment was refused

    @property
    def headers(self) -> dict[str, str]:
        return {RESERVATION_STATUS: self.reservation_status} if self.reservation_status else {}


class PaidTooLate(PaymentRefused):
    message = _("예매 시간이 만료되었습니다.")
    code = "RESERVATION_EXPIRED"


class PaidAfterCancelling(PaymentRefused):
    message = _("취소된 예매입니다.")
    code = "RESERVATION_CANCELLED"


class PaidTwice(PaymentRefused):
    message = _("이미 결제된 예매입니다.")
    code = "ALREADY_PAID"


class AmountDiffers(PaymentRefused):
    message = _("결제 금액이 일치하지 않습니다.")
    code = "AMOUNT_MISMATCH"


class PaymentUsedElsewhere(PaymentRefused):
    message = _("다른 예매에 사용된 결제입니다.")
    code = "PAYMENT_ID_USED"


class NotPaid(PaymentRefused):
    message = _("결제된 예매가 아닙니다.")
    code = "NOT_PAID"


class WaitlistOff(DomainError):
    message = "대기자 명단을 운영하지 않는 이벤트입니다."
    code = "WAITLIST_OFF"
    result_envelope = True
    shows_code = True


class PlacesAvailable(DomainError):
    """What somebody wants to wait for can be reserved now."""

    kind = Kind.CONFLICT
    message = "지금 예매할 수 있는 좌석 또는 티켓이 있습니다."
    code = "PLACES_AVAILABLE"
    result_envelope = True
    shows_code = True


class WaitingAlready(DomainError):
    """The buyer waits for something else of the event, and would lose that position."""

    kind = Kind.CONFLICT
    message = "이미 다른 조건으로 대기 중입니다. 먼저 대기를 취소해주세요."
    code = "WAITING_ALREADY"
    result_envelope = True
    shows_code = True


class OfferIsOpen(DomainError):
    kind = Kind.CONFLICT
    message = "이미 확보된 좌석 또는 티켓이 있습니다. 결제하거나 취소해주세요."
    code = "OFFER_IS_OPEN"
    result_envelope = True
    shows_code = True


class NotWaiting(DomainError):
    """Somebody leaves a waiting list without being on it, or having an offer."""

    kind = Kind.NOT_FOUND
    message = "대기 중이 아닙니다."
    code = "NOT_WAITING"
    result_envelope = True
    shows_code = True


class NotFree(DomainError):
    kind = Kind.CONFLICT
    message = "결제가 필요한 예매입니다."
    code = "NOT_FREE"
    result_envelope = True
    shows_code = True


class IdempotencyKeyReused(DomainError):
    kind = Kind.UNPROCESSABLE
    message = "Idempotency-Key가 다른 요청에 사용되었습니다."
    code = "IDEMPOTENCY_KEY_REUSED"


class RequestInProgress(DomainError):
    kind = Kind.CONFLICT
    message = "같은 요청을 처리하고 있습니다. 잠시 후 다시 시도해주세요."
    code = "REQUEST_IN_PROGRESS"
    retry_after = 1


class RejectedBefore(DomainError):
    """The rejection that an earlier request got, from its `record`."""

    def __init__(self, rejection: dict[str, Any]) -> None:
        super().__init__(rejection["message"])
        self.kind = Kind(rejection["kind"])
        self.code = rejection["code"]
        self.result_envelope = rejection["result_envelope"]

    @staticmethod
    def record(rejection: DomainError) -> dict[str, Any]:
        """What is stored of a rejection, as JSON."""
        return {
            "kind": rejection.kind.value,
            "code": rejection.code,
            "message": rejection.message,
            "result_envelope": rejection.result_envelope,
        }


class PaymentRefusedBefore(RejectedBefore, PaymentRefused):
    """The refusal that an earlier confirmation by the same payment got."""
