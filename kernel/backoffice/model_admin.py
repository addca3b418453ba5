"""What the pages of every editable model share: forms that merge, saves that are refused as a whole, and their history."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.db import DataError, models, transaction
from django.forms.models import fields_for_model
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, override

from kernel.backoffice.display import error_message
from kernel.backoffice.forms import MomentField
from kernel.backoffice.merging import MergingForm
from kernel.backoffice.values import as_stored
from kernel.errors import DomainError

SECRETS = {"password"}  # columns that the history leaves out


class BackofficeModelAdmin(admin.ModelAdmin):
    """Writes only the changed columns. An operation behind a form (`save_model`, `save_formset`) may raise DomainError."""

    formfield_overrides = {models.DateTimeField: {"form_class": MomentField, "widget": AdminSplitDateTime}}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        is_saved = request.method == "POST"
        try:
            with transaction.atomic() if is_saved else nullcontext():
                if is_saved and object_id:
                    self._lock_row(request, unquote(object_id))
                return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as error:
            request.refusal = error_message(error)  # type: ignore[attr-defined]  # the form shows it, and is not valid
            return super().changeform_view(request, object_id, form_url, extra_context)

    def _lock_row(self, request: HttpRequest, object_id: str) -> None:
        """Until the commit, so that the form is compared with what no other save changes in between."""
        if (obj := self.get_object(request, object_id)) is not None:
            # NO KEY: sales that are under way refer to the row.
            self.model._base_manager.select_for_update(no_key=True).filter(pk=obj.pk).first()

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]  # as UserAdmin
        form_class = super().get_form(request, obj, **kwargs)
        refusal = getattr(request, "refusal", "")
        return type(form_class.__name__, (form_class,), {"refusal": refusal}) if refusal else form_class

    def describe_choice(self, obj: Any) -> str:  # noqa: ARG002
        """What tells it apart, in a chooser, from others of the same title."""
        return ""

    # --- Rubbish in URLs ----------------------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            changelist = super().get_changelist_instance(request)
            len(changelist.result_list)  # asks the database now
        except (ValidationError, ValueError, OverflowError, DataError) as error:
            raise IncorrectLookupParameters(error) from error  # Django redirects to the list without filters
        return changelist

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if ACTION_CHECKBOX_NAME in request.POST:
            posted = request.POST.copy()
            keys = [key for key in posted.getlist(ACTION_CHECKBOX_NAME) if _is_valid(self.opts.pk, key)]
            posted.setlist(ACTION_CHECKBOX_NAME, keys)
            request.POST = posted  # type: ignore[assignment]  # a QueryDict, too
        return super().changelist_view(request, extra_context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the URL prefills, without values that are none."""
        initial = super().get_changeform_initial_data(request)
        fields = {field.name: field for field in (*self.opts.fields, *self.opts.many_to_many)}
        valid = {
            name: value
            for name, value in initial.items()
            if name in fields and (fields[name].many_to_many or _is_valid(fields[name], value))
        }
        moments = {name for name in valid if isinstance(fields[name], models.DateTimeField)}
        return valid | {name: fields[name].to_python(valid[name]) for name in moments}  # their widgets take no text

    # --- Saving -------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:  # noqa: ARG002, FBT001
        obj.save(update_fields=self.get_changed_columns(obj, form) if change else None)

    def get_changed_columns(self, obj: Any, form: forms.ModelForm) -> set[str]:
        columns = {field.name for field in obj._meta.concrete_fields}
        return columns & {*form.changed_data, "updated_at"}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        super().save_related(request, form, formsets, change)
        merged = [
            str(bound.label)
            for saved in _merging_forms(form, formsets)
            if saved.is_merged
            for bound in saved.merged_fields()
        ]
        if merged:
            text = gettext("Kept what somebody else has changed while the page was open: %s.")
            self.message_user(request, text % ", ".join(dict.fromkeys(merged)), messages.INFO)

    # --- History ------------------------------------------------------------------------------------------------------

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Django's parts, and the old and new values as {"values": [[label, old, new]], "of": the row}."""
        message: list[Any] = list(super().construct_change_message(request, form, formsets, add))
        with override(None):  # msgids, so that each reader sees the entry in their own language
            saved = [] if add else [saved for saved in _merging_forms(form, formsets) if saved.is_merged]
            deleted = [obj for formset in formsets or () for obj in formset.deleted_objects]
            values = [
                *(("" if row is form else str(row.instance), list(row.changes())) for row in saved),
                *((str(obj), list(_values_of(obj))) for obj in deleted),
            ]
        message += [{"values": changes, "of": name} for name, changes in values if changes]
        reason = form.cleaned_data.get("reason")
        return [*message, {"reason": reason}] if reason else message

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        with override(None):
            return [
                LogEntry.objects.log_actions(
                    request.user.pk or 0, [obj], DELETION, change_message=[{"values": list(_values_of(obj)), "of": ""}]
                )
                for obj in queryset
            ]


def _is_valid(field: Any, value: Any) -> bool:
    try:
        field.to_python(value)
    except (ValidationError, ValueError, OverflowError):
        return False
    return True


def _merging_forms(form: Any, formsets: Any) -> Iterator[MergingForm]:
    deleted = [id(gone) for formset in formsets or () for gone in formset.deleted_forms]
    rows: Sequence[Any] = [row for formset in formsets or () for row in formset.initial_forms if id(row) not in deleted]
    return (saved for saved in (form, *rows) if isinstance(saved, MergingForm) and not saved.is_gone)


def _values_of(obj: Any) -> Iterator[tuple[str, Any, Any]]:
    """The last values of an object that is deleted."""
    for name, field in fields_for_model(type(obj)).items():
        column = obj._meta.get_field(name)
        if name not in SECRETS and not column.many_to_many:
            yield str(field.label), as_stored(None, getattr(obj, name)), None
