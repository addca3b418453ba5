"""Forgetting a buyer: name and address, and everything that was written to them."""

from uuid import UUID

from django.db import transaction

from contacts.services import forget_contact
from mail.models import Mail


def forget_buyer(*, user_id: UUID) -> dict[str, int]:
    """Returns how many contacts (0 or 1) and mails were deleted. Idempotent. Mails that wait are not sent any more.

    Reservations, payments and refunds stay: they name the buyer by an id only.
    """
    with transaction.atomic():
        contacts = forget_contact(user_id=user_id)
        mails, _ = Mail.objects.filter(user_id=user_id).delete()
    return {"contacts": int(contacts), "mails": mails}
