"""Operations on contacts, a file per verb."""

from contacts.services.forgetting import forget_contact
from contacts.services.keeping import keep_contact

__all__ = ["forget_contact", "keep_contact"]
