"""`manage.py forget_buyer`: deletes what this service knows of a buyer besides an id."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.models import Contact
from mail import services


class Command(BaseCommand):
    help = "Deletes a buyer's name, e-mail address and mails. Reservations stay: they have the user id only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("buyer", help="a user id, or the e-mail address")

    def handle(self, *, buyer: str, **_: Any) -> None:
        for user_id in _user_ids(buyer):
            counts = services.forget_buyer(user_id=user_id)
            self.stdout.write(f"{user_id}: deleted {counts['contacts']} contact and {counts['mails']} mails")


def _user_ids(buyer: str) -> list[uuid.UUID]:
    """Raises CommandError."""
    try:
        return [uuid.UUID(buyer)]
    except ValueError:
        found = list(Contact.objects.filter(email__iexact=buyer).values_list("user_id", flat=True))
    if not found:
        raise CommandError("No contact has this e-mail address. A user id is accepted, too.")
    return found
