"""The audit trail outlives accounts: entries of a deleted account keep its username."""

import json
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db.models import ProtectedError

from kernel.backoffice.history import log_entry_parts

# The column of the entry's user is NOT NULL, so that entries of deleted accounts need an account to belong to. No form
# accepts parentheses in a username, so that nobody can have this one.
DELETED_ACCOUNTS = "(deleted accounts)"
BATCH = 1000


def keep_entries(instance: Any, **_: Any) -> None:
    """Before an account is deleted (signal `pre_delete`), also by a command: its entries would be deleted with it."""
    username = instance.get_username()
    entries = LogEntry.objects.filter(user=instance)
    if username == DELETED_ACCOUNTS:
        raise ProtectedError("The audit trail belongs to this account.", set(entries))
    if not entries.exists():
        return
    owner = _owner_of_deleted()
    changed = []
    for entry in entries.iterator(BATCH):
        entry.user = owner
        entry.change_message = json.dumps([*_parts_of(entry), {"by": username}], ensure_ascii=False)
        changed.append(entry)
    LogEntry.objects.bulk_update(changed, ["user", "change_message"], batch_size=BATCH)


def actor_of(entry: LogEntry) -> str:
    """The username of whoever did it, also if the account is deleted."""
    names = [part["by"] for part in _parts_of(entry) if "by" in part]
    return names[0] if names else str(entry.user.get_username())


def _parts_of(entry: LogEntry) -> list[dict[str, Any]]:
    """The structured message. A plain text becomes a part of its own."""
    plain = [{"text": entry.change_message}] if entry.change_message else []
    return log_entry_parts(entry) or plain


def _owner_of_deleted() -> Any:
    users = get_user_model().objects
    owner, is_new = users.get_or_create(username=DELETED_ACCOUNTS, defaults={"is_active": False})
    if is_new:
        owner.set_unusable_password()
        owner.save(update_fields=["password"])
    return owner
