"""The timeline of a reservation, from its row and its history entries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from django.utils.translation import gettext

from kernel.backoffice.audit_trail import actor_of
from kernel.backoffice.history import log_entry_parts, render_log_entry
from reservations.models import Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStep:
    """`at` is None if the time was not recorded. The step then keeps its position between its neighbours."""

    at: datetime | None
    title: str
    text: str = ""
    kind: str = ""  # success, warning, danger, info


def build_timeline(reservation: Reservation) -> list[TimelineStep]:
    """Oldest first."""
    content_type = ContentType.objects.get_for_model(Reservation)
    entries = LogEntry.objects.filter(content_type=content_type, object_id=str(reservation.pk)).select_related("user")
    log = list(entries.order_by("action_time"))
    steps = [*_steps_of_row(reservation, log), *(_step_of_entry(entry) for entry in log)]
    last = reservation.created_at
    keyed: list[tuple[datetime, int, TimelineStep]] = []
    for index, step in enumerate(steps):
        last = step.at or last
        keyed.append((last, index, step))
    return [step for _, _, step in sorted(keyed, key=lambda item: item[:2])]


def _steps_of_row(reservation: Reservation, log: list[LogEntry]) -> list[TimelineStep]:
    deadline: Any = reservation.deadline
    amount = gettext("₩%s") % f"{reservation.total_amount:,}"
    steps = [TimelineStep(at=reservation.created_at, title=gettext("Reserved"), text=amount, kind="info")]
    if reservation.payment_id:
        steps.append(_payment_step(reservation, log))
    match reservation.status:
        case Reservation.Status.PENDING if deadline:
            has_passed = deadline <= timezone.now()
            title = gettext("Payment deadline passed; about to expire") if has_passed else gettext("Payment deadline")
            steps.append(TimelineStep(at=deadline, title=title, kind="warning"))
        case Reservation.Status.EXPIRED:
            steps.append(TimelineStep(at=deadline, title=gettext("Not paid in time"), kind="warning"))
            steps.append(
                TimelineStep(
                    at=reservation.updated_at, title=gettext("Expired"),
                    text=gettext("Seats and tickets are available again."),
                )
            )  # fmt: skip
        case Reservation.Status.CANCELLED:
            steps += _cancellation_steps(reservation)
    return steps


def _payment_step(reservation: Reservation, log: list[LogEntry]) -> TimelineStep:
    # A payment has no column for its time. Of a confirmed reservation it is the row's last change. Of one that has ended
    # since, it is known only if staff confirmed the payment, from the log.
    confirmed_by_staff = (
        entry.action_time for entry in log if any(part.get("name") == "confirm" for part in log_entry_parts(entry))
    )
    is_confirmed = reservation.status == Reservation.Status.CONFIRMED
    text = gettext("₩%(amount)s by %(method)s, payment ID %(payment)s") % {
        "amount": f"{reservation.total_amount:,}",
        "method": reservation.payment_method or "-",
        "payment": reservation.payment_id,
    }
    at = reservation.updated_at if is_confirmed else next(confirmed_by_staff, None)
    return TimelineStep(at=at, title=gettext("Paid"), text=text, kind="success")


def _cancellation_steps(reservation: Reservation) -> list[TimelineStep]:
    available = gettext("Seats and tickets are available again.")
    if reservation.refund_due_at:
        due = gettext("₩%s to refund.") % f"{reservation.total_amount:,}"
        at = reservation.refund_due_at
        return [
            TimelineStep(at=at, title=gettext("Event cancelled"), text=available, kind="danger"),
            TimelineStep(at=at, title=gettext("Refund due"), text=due, kind="warning"),
        ]
    is_refunded = reservation.payment_id and reservation.payment_status == Reservation.PaymentStatus.REFUNDED
    title = gettext("Cancelled and refunded") if is_refunded else gettext("Cancelled")
    return [TimelineStep(at=reservation.updated_at, title=title, text=available, kind="danger")]


def _step_of_entry(entry: LogEntry) -> TimelineStep:
    by_user = gettext("By %s") % actor_of(entry)
    return TimelineStep(at=entry.action_time, title=by_user, text=render_log_entry(entry))
