"""What happened to a reservation, from its row and from what staff did to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from django.utils.translation import gettext

from kernel.backoffice.actions import noted, parts_of
from reservations.models import Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`at` is None where nobody has written down when it was; it then stands between its neighbours."""

    at: datetime | None
    what: str
    text: str = ""
    kind: str = ""  # good, warm, bad, info


def timeline(reservation: Reservation) -> list[Step]:
    """Oldest first."""
    content_type = ContentType.objects.get_for_model(Reservation)
    entries = LogEntry.objects.filter(content_type=content_type, object_id=str(reservation.pk)).select_related("user")
    staff = list(entries.order_by("action_time"))
    steps = [*_of_row(reservation, staff), *(_of_staff(entry) for entry in staff)]
    last = reservation.created_at
    placed: list[tuple[datetime, int, Step]] = []
    for place, step in enumerate(steps):
        last = step.at or last
        placed.append((last, place, step))
    return [step for _, _, step in sorted(placed, key=lambda found: found[:2])]


def _of_row(reservation: Reservation, staff: list[LogEntry]) -> list[Step]:
    deadline: Any = reservation.deadline
    amount = f"{reservation.total_amount:,}"
    steps = [Step(at=reservation.created_at, what=gettext("Reserved"), text=gettext("₩%s") % amount, kind="info")]
    if reservation.payment_id:
        # A payment has no column for its moment: it is the row's last change, until something else changes it. When staff
        # confirmed it, it stands in the log.
        confirmed = (
            entry.action_time for entry in staff if any(part.get("name") == "confirm" for part in parts_of(entry))
        )
        at = reservation.updated_at if reservation.status == Reservation.Status.CONFIRMED else next(confirmed, None)
        paid = gettext("₩%(amount)s by %(method)s, payment %(payment)s") % {
            "amount": amount, "method": reservation.payment_method or "-", "payment": reservation.payment_id,
        }  # fmt: skip
        steps.append(Step(at=at, what=gettext("Paid"), text=paid, kind="good"))
    match reservation.status:
        case Reservation.Status.PENDING if deadline:
            over = deadline <= timezone.now()
            what = gettext("Time is over; about to expire") if over else gettext("To be paid by then")
            steps.append(Step(at=deadline, what=what, kind="warm"))
        case Reservation.Status.EXPIRED:
            steps.append(Step(at=deadline, what=gettext("Not paid in time"), kind="warm"))
            steps.append(Step(at=reservation.updated_at, what=gettext("Expired; the places are free again")))
        case Reservation.Status.CANCELLED:
            steps += _ended(reservation)
    return steps


def _ended(reservation: Reservation) -> list[Step]:
    free = gettext("The places are free again.")
    if reservation.refund_due_at:
        return [
            Step(at=reservation.refund_due_at, what=gettext("The event was cancelled"), text=free, kind="bad"),
            Step(at=reservation.refund_due_at, what=gettext("Refund due"),
                 text=gettext("₩%s are to be given back.") % f"{reservation.total_amount:,}", kind="warm"),
        ]  # fmt: skip
    if reservation.payment_id and reservation.payment_status == Reservation.PaymentStatus.REFUNDED:
        return [Step(at=reservation.updated_at, what=gettext("Cancelled and refunded"), text=free, kind="bad")]
    return [Step(at=reservation.updated_at, what=gettext("Cancelled"), text=free, kind="bad")]


def _of_staff(entry: LogEntry) -> Step:
    return Step(at=entry.action_time, what=gettext("By %s") % entry.user.get_username(), text=noted(entry))
