"""Staff accounts and groups, by the same forms and history as everything else."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.text import capfirst

from kernel.backoffice.audit_trail import DELETED_ACCOUNTS
from kernel.backoffice.merging import MergingForm
from kernel.backoffice.model_admin import BackofficeModelAdmin

admin.site.unregister((User, Group))


class AccountForm(MergingForm, UserChangeForm):  # type: ignore[misc]  # the stubs' types of `bound_field_class`
    pass


@admin.register(User)
class AccountAdmin(BackofficeModelAdmin, UserAdmin):
    form = AccountForm

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without the account that has the history of deleted ones."""
        return super().get_queryset(request).exclude(username=DELETED_ACCOUNTS)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Without history entries, which are kept: see `audit_trail`."""
        to_delete, model_count, permissions_needed, protected = super().get_deleted_objects(objs, request)
        model_count.pop(str(LogEntry._meta.verbose_name_plural), None)
        return _without_entries(to_delete), model_count, permissions_needed, protected


def _without_entries(nested: list[Any]) -> list[Any]:
    heading = f"{capfirst(LogEntry._meta.verbose_name)}: "
    kept = [_without_entries(item) if isinstance(item, list) else item for item in nested]
    return [item for item in kept if item and not str(item).startswith(heading)]


@admin.register(Group)
class AccountGroupAdmin(BackofficeModelAdmin, GroupAdmin):
    form = MergingForm
