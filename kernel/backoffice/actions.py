"""Object actions: operations on an object that ask for a reason and are logged with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, override

from kernel.backoffice.choosers import ChooserField
from kernel.backoffice.display import capitalize, error_message
from kernel.backoffice.forms import Autocomplete, ReasonForm
from kernel.backoffice.model_admin import BackofficeModelAdmin
from kernel.backoffice.permissions import StaffReadOnlyMixin
from kernel.backoffice.values import as_stored
from kernel.errors import DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAction:
    """An operation that staff run on an object, instead of editing its row.

    `run(object, **details)` returns the success message, or raises DomainError. `label` and `question` are lazy
    translations.
    """

    name: str
    label: Any
    question: Any
    run: Callable[..., str]
    is_available: Callable[[Any], bool] = lambda _: True  # whether the object's page has a button for it
    describe: Callable[[Any], str] = lambda _: ""  # what to know about an object before confirming
    form: type[ReasonForm] = ReasonForm
    before: Callable[[Any], Mapping[str, Any]] = lambda _: {}  # the old values of the form's fields, for the history
    in_changelist: bool = False
    is_destructive: bool = False
    is_idempotent: bool = False  # the operation accepts a repetition; the page does not, and logs nothing
    commits_in_batches: bool = False  # then the log entry is committed first, on its own


class ObjectActionAdmin(StaffReadOnlyMixin, BackofficeModelAdmin):
    """Admin pages with object actions: buttons on the change page, entries in the action menu, a confirmation page."""

    object_actions: tuple[ObjectAction, ...] = ()

    def has_action_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def get_action_object(self, request: HttpRequest, object_id: str) -> Any:
        """The object that an action's URL names, or None."""
        return self.get_object(request, unquote(object_id))

    def get_object_links(self, request: HttpRequest, obj: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Further buttons on the object's page: (label, URL)."""
        return []

    def get_urls(self) -> list[URLPattern]:
        return [
            *(
                path(
                    f"<str:object_id>/{action.name}/",
                    self.admin_site.admin_view(partial(self.action_view, action=action)),
                    name=f"{self.opts.app_label}_{self.opts.model_name}_{action.name}",
                )
                for action in self.object_actions
            ),
            *super().get_urls(),
        ]

    def object_url(self, name: str, object_id: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=[quote(object_id)])

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if self.has_action_permission(request):
            for action in self.object_actions:
                if action.in_changelist:
                    run = partial(self._run_on_selected, action=action)
                    actions[action.name] = (run, action.name, action.label)
        return actions

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Django answers an action that the user may not run with a redirect; here it is a 403.
        names = {action.name for action in self.object_actions}
        if request.POST.get("action") in names and not self.has_action_permission(request):
            raise PermissionDenied
        title = {"title": capitalize(self.opts.verbose_name_plural)}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        buttons: dict[str, Any] = {}
        obj = self.get_object(request, unquote(object_id)) if object_id and request.method == "GET" else None
        if obj is not None:
            is_permitted = self.has_action_permission(request)
            actions = [action for action in self.object_actions if is_permitted and action.is_available(obj)]
            buttons = {
                "title": capitalize(self.opts.verbose_name),
                "object_links": self.get_object_links(request, obj),
                "object_actions": [(action, self.object_url(action.name, obj.pk)) for action in actions],
            }
        return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = Autocomplete(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, form_class=ChooserField, **kwargs)

    # --- Confirmation and execution -----------------------------------------------------------------------------------

    def action_view(self, request: HttpRequest, object_id: str, *, action: ObjectAction) -> HttpResponse:
        if not self.has_action_permission(request):
            raise PermissionDenied
        obj = self.get_action_object(request, object_id)
        if obj is None:
            raise Http404
        next_url = request.POST.get("next") or request.GET.get("next") or ""
        if not url_has_allowed_host_and_scheme(
            next_url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        ):
            next_url = self.object_url("change", obj.pk)
        form = action.form(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._render_confirmation(request, action, [obj], {"form": form, "next": next_url})
        self._run(request, action, obj, form)
        return HttpResponseRedirect(next_url)

    def _run_on_selected(
        self, _: admin.ModelAdmin, request: HttpRequest, selected: QuerySet[Any], *, action: ObjectAction
    ) -> HttpResponse | None:
        form = action.form(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = {"form": form, "next": request.get_full_path(), "action_name": action.name}
            return self._render_confirmation(request, action, list(selected), context)
        for obj in selected:
            self._run(request, action, obj, form)
        return None

    def _render_confirmation(
        self, request: HttpRequest, action: ObjectAction, objects: Sequence[Any], extra_context: dict[str, Any]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": action.label,
            "opts": self.opts,
            "action": action,
            "objects": [(obj, action.describe(obj)) for obj in objects],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            **extra_context,
        }
        return TemplateResponse(request, "admin/object_action.html", context)

    def _run(self, request: HttpRequest, action: ObjectAction, obj: Any, form: ReasonForm) -> None:
        if action.is_idempotent and not action.is_available(obj):
            done = gettext("This was done already.")
            self.message_user(request, f"{obj}: {done}", messages.ERROR)
            return
        details = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
        log_message = _build_log_message(action, form, details, action.before(obj))
        run = self._run_in_batches if action.commits_in_batches else self._run_in_transaction
        try:
            result = run(request, obj, log_message, partial(action.run, obj, **details), action)
        except DomainError as error:
            self.message_user(request, f"{obj}: {error_message(error)}", messages.ERROR)
        else:
            self.message_user(request, f"{obj}: {result}", messages.SUCCESS)

    def _run_in_transaction(
        self, request: HttpRequest, obj: Any, log_message: Any, run: Callable[[], str], _: ObjectAction
    ) -> str:
        with transaction.atomic():
            self.log_change(request, obj, log_message)
            return run()

    def _run_in_batches(
        self, request: HttpRequest, obj: Any, log_message: Any, run: Callable[[], str], action: ObjectAction
    ) -> str:
        """The entry is committed first: what is done after it may be half of it. If nothing was, the entry goes again."""
        entry = self.log_change(request, obj, log_message)
        try:
            return run()
        except DomainError:
            entry.delete()
            raise
        except Exception:
            obj.refresh_from_db()
            if action.is_available(obj):
                entry.delete()
            raise


def _build_log_message(
    action: ObjectAction, form: ReasonForm, details: dict[str, Any], before: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """See `history.log_entry_parts`. A detail is its label and value, or its label, old and new value."""
    with override(None):  # msgids, so that each reader sees the entry in their own language
        shown = [
            (
                str(form.fields[name].label),
                *([as_stored(None, before[name])] if name in before else []),
                as_stored(None, value),
            )
            for name, value in details.items()
            if value not in (None, "")
        ]
        label = str(action.label)
    return [{"action": label, "name": action.name, "details": shown, "reason": form.cleaned_data["reason"]}]
