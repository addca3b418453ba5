"""Forgetting a contact."""

from uuid import UUID

from contacts.models import Contact


def forget_contact(*, user_id: UUID) -> bool:
    """Returns whether there was one."""
    deleted, _ = Contact.objects.filter(user_id=user_id).delete()
    return bool(deleted)
