"""The admin's manners: who may look, who may act, and acts that ask for a reason and are logged with it."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from kernel.errors import DomainError

# --- Who may look -----------------------------------------------------------------------------------------------------


class StaffMayLook:
    """Everybody on the staff may look at everything; what changes something needs the model's own permissions."""

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:  # noqa: ARG002
        return _is_staff(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_staff(request)


def _is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)


# --- What is written down ---------------------------------------------------------------------------------------------


def said(refusal: DomainError) -> str:
    """What a refusal says, in the language of the page."""
    text = gettext(refusal.template or refusal.message)
    return text % refusal.values if refusal.values else text


def parts_of(entry: LogEntry) -> list[dict[str, Any]]:
    """What was written down, piece by piece; an act's has `name`."""
    with suppress(ValueError, TypeError):
        return [part for part in json.loads(entry.change_message) if isinstance(part, dict)]
    return []


def noted(entry: LogEntry) -> str:
    """What somebody did, as it stands in the history: with the reason, which Django's own text leaves out."""
    parts = parts_of(entry)
    acts = [gettext(part["act"]) + _in_brackets(part.get("details", ())) for part in parts if "act" in part]
    reasons = [gettext("Reason: %s") % part["reason"] for part in parts if part.get("reason")]
    edits = [] if acts else [str(entry.get_change_message())]
    return " · ".join([*acts, *edits, *reasons])


def _in_brackets(details: Sequence[tuple[str, str]]) -> str:
    return f" ({', '.join(f'{gettext(label)}: {value}' for label, value in details)})" if details else ""


class WhyForm(forms.ModelForm):
    """An edit may say why; it is kept in the history."""

    why = forms.CharField(
        label=capfirst(_("reason")),
        max_length=500,
        required=False,
        help_text=_("Why this is changed. Kept in the history."),
    )


def keep_within(form: forms.BaseForm, limits: Mapping[str, tuple[float, float]]) -> None:
    """Says of a number which ones are possible. The database says no more than its constraint's name."""
    for name, (least, most) in limits.items():
        if field := form.fields.get(name):  # who only looks has no fields
            field.validators += [MinValueValidator(least), MaxValueValidator(most)]
            field.widget.attrs |= {"min": least, "max": most}


class Autocomplete(AutocompleteSelect):
    """Django's asks the database for whatever was sent, and fails where that is no key at all."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if self._is_key(key)], attr)

    def _is_key(self, key: str) -> bool:
        try:
            self.field.target_field.to_python(key)
        except ValidationError:
            return False
        return True


# --- Acts -------------------------------------------------------------------------------------------------------------


class ReasonForm(forms.Form):
    """What an act asks for; more fields in subclasses, which are handed to the act by name."""

    reason = forms.CharField(
        label=_("reason"), max_length=500, help_text=_("Kept in the history, together with your name."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that is done to an object by an operation, never by editing its row.

    `run(object, **details)` says what came of it, or raises DomainError. `may(object)`: whether a button is shown for it.
    `question` and `label` are lazy translations.
    """

    name: str
    label: Any
    question: Any
    run: Callable[..., str]
    may: Callable[[Any], bool] = lambda _: True
    about: Callable[[Any], str] = lambda _: ""  # what to know before doing it
    form: type[ReasonForm] = ReasonForm
    for_many: bool = False  # also as an action of the list
    is_danger: bool = False
    in_batches: bool = False  # the operation commits many times: the log comes first, not in the same transaction


class ActingAdmin(StaffMayLook, admin.ModelAdmin):
    """A model's pages with acts: buttons on an object's page, actions of the list, a page that asks for the reason."""

    acts: tuple[Act, ...] = ()

    def may_act(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def acted_on(self, request: HttpRequest, object_id: str) -> Any:
        """The object of an act's URL, or None."""
        return self.get_object(request, unquote(object_id))

    def links(self, request: HttpRequest, obj: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Further buttons on the object's page: label and URL."""
        return []

    def get_urls(self) -> list[URLPattern]:
        return [
            *(
                path(
                    f"<str:object_id>/{act.name}/",
                    self.admin_site.admin_view(partial(self.act_view, act=act)),
                    name=f"{self.opts.app_label}_{self.opts.model_name}_{act.name}",
                )
                for act in self.acts
            ),
            *super().get_urls(),
        ]

    def url_of(self, act: str, object_id: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{act}", args=[quote(object_id)])

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if self.may_act(request):
            for act in self.acts:
                if act.for_many:
                    actions[act.name] = (partial(self._act_on_chosen, act=act), act.name, act.label)
        return actions

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django answers an action that somebody may not use with a redirect; here it is a plain no."""
        if request.POST.get("action") in {act.name for act in self.acts} and not self.may_act(request):
            raise PermissionDenied
        title = {"title": capital(self.opts.verbose_name_plural)}
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
            acts = [act for act in self.acts if self.may_act(request) and act.may(obj)]
            buttons = {
                "title": capital(self.opts.verbose_name),
                "links": self.links(request, obj),
                "acts": [(act, self.url_of(act.name, obj.pk)) for act in acts],
            }
        return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:  # noqa: FBT001, FBT002
        message = super().construct_change_message(request, form, formsets, add)
        why = form.cleaned_data.get("why")
        return [*message, {"reason": why}] if why else message

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = Autocomplete(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    # --- The page that asks -------------------------------------------------------------------------------------------

    def act_view(self, request: HttpRequest, object_id: str, *, act: Act) -> HttpResponse:
        if not self.may_act(request):
            raise PermissionDenied
        obj = self.acted_on(request, object_id)
        if obj is None:
            raise Http404
        back = request.POST.get("back") or request.GET.get("back") or ""
        if not url_has_allowed_host_and_scheme(
            back, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        ):
            back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(obj.pk)])
        form = act.form(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._ask(request, act, [obj], {"form": form, "back": back})
        self._run(request, act, obj, form)
        return HttpResponseRedirect(back)

    def _act_on_chosen(
        self, _: admin.ModelAdmin, request: HttpRequest, chosen: QuerySet[Any], *, act: Act
    ) -> HttpResponse | None:
        form = act.form(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            here = {"form": form, "back": request.get_full_path(), "action": act.name}
            return self._ask(request, act, list(chosen), here)
        for obj in chosen:
            self._run(request, act, obj, form)
        return None

    def _ask(self, request: HttpRequest, act: Act, chosen: Sequence[Any], more: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": act.label,
            "opts": self.opts,
            "act": act,
            "chosen": [(obj, act.about(obj)) for obj in chosen],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            **more,
        }
        return TemplateResponse(request, "admin/act.html", context)

    def _run(self, request: HttpRequest, act: Act, obj: Any, form: ReasonForm) -> None:
        details = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
        with override(None):  # as the catalogues know it: whoever reads it later reads it in their language
            shown = [
                (str(form.fields[name].label), str(value)) for name, value in details.items() if value not in (None, "")
            ]
            note = [{"act": str(act.label), "reason": form.cleaned_data["reason"], "details": shown, "name": act.name}]
        try:
            if act.in_batches:
                self.log_change(request, obj, note)
                came_of_it = act.run(obj, **details)
            else:
                with transaction.atomic():
                    self.log_change(request, obj, note)
                    came_of_it = act.run(obj, **details)
        except DomainError as refusal:
            self.message_user(request, f"{obj}: {said(refusal)}", messages.ERROR)
        else:
            self.message_user(request, f"{obj}: {came_of_it}", messages.SUCCESS)


# --- Showing ----------------------------------------------------------------------------------------------------------


def moment(at: datetime | None) -> str:
    """In the time zone of the page."""
    return date_format(localtime(at), "Y-m-d H:i") if at else "-"


def badge(text: Any, kind: str) -> SafeString:
    """`kind`: good, warm, bad, info, or nothing in particular."""
    return format_html('<span class="badge {}">{}</span>', kind, capital(text))


def capital(text: Any) -> str:
    return str(capfirst(str(text)))
