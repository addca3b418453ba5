"""Seat layouts with a preview."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.errors import ImpossibleLayout
from events.models import SeatLayout
from events.services.layouts import plain_name, sections_of
from events.services.seat_plan import plan_of
from kernel.backoffice.actions import ObjectActionAdmin
from kernel.backoffice.display import error_message
from kernel.backoffice.forms import ReasonMixin

EXAMPLE = {
    "sections": [
        {"name": "VIP", "rows": 4, "seatsPerRow": 20, "price": 150000, "startRow": 1},
        {"name": "R", "rows": 8, "seatsPerRow": 24, "price": 110000, "startRow": 5},
    ]
}
MAX_TIERS = 6  # price tiers that the style sheet has a colour for


def render_seat_plan(layout_config: Any) -> str:
    """The layout as SVG with a table of its sections, or an error message, as HTML."""
    try:
        sections = sections_of(layout_config)
    except ImpossibleLayout as error:
        return format_html('<p class="errornote">{}</p>', error_message(error))
    plan = plan_of(sections)
    prices = sorted({section.price for section in sections}, reverse=True)
    tiers = {price: min(rank, MAX_TIERS) for rank, price in enumerate(prices, 1)}
    blocks = [(block, tiers[block.section.price]) for block in plan.blocks]
    total = sum(section.rows * section.seats_per_row for section in sections)
    return render_to_string(
        "events/seat_plan.html", {"plan": plan, "blocks": blocks, "tiers": range(1, MAX_TIERS + 1), "total": total}
    )


class LayoutDecoder(json.JSONDecoder):
    """Also rejects JSON that PostgreSQL cannot store: U+0000, lone surrogates, NaN, deep nesting."""

    def decode(self, text: str, *args: Any) -> Any:
        try:
            value = super().decode(text, *args)
            stored = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), text, 0) from error
        if b"\\u0000" in stored:
            raise json.JSONDecodeError("U+0000", text, 0)
        return value


class LayoutWidget(forms.Textarea):
    """A text area with the layout as JSON, one section per line."""

    def format_value(self, value: Any) -> str:
        text = str(super().format_value(value) or "")
        try:
            layout = json.loads(text, cls=LayoutDecoder)
            lines = ",\n".join(f"  {json.dumps(section, ensure_ascii=False)}" for section in layout["sections"])
        except (ValueError, TypeError, KeyError):
            return text
        others = {name: value for name, value in layout.items() if name != "sections"}
        rest = f", {json.dumps(others, ensure_ascii=False)[1:-1]}" if others else ""
        return f'{{"sections": [\n{lines}\n]{rest}}}'


class SeatLayoutForm(ReasonMixin):
    class Meta:
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "layout_config": LayoutWidget(attrs={"class": "code", "rows": 12, "spellcheck": "false"}),
        }
        help_texts = {
            "layout_config": _(
                "Each section has a name, rows, seatsPerRow, a price in won, and startRow, the number of its first row "
                "(1 by default). It may have aisles, the seats after which there is one ([10, 20]); accessible, rows or "
                'seats of them ([{"row": 1, "seats": [1, 2]}, {"row": 5}]); and x and y, where it is: how far its middle is '
                "to the right of the stage's middle, in seats, and its front behind the stage, in rows. The preview updates "
                "as you type."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "layout_config" in self.fields:  # absent for layouts in use
            self.fields["layout_config"].decoder = LayoutDecoder

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        posted = self.data.get("layout_config")
        if (
            posted is not None
            and "layout_config" not in self.fields
            and posted != self.data.get("initial-layout_config")
        ):
            self.add_error(
                None, _("Events use this layout since the page was opened, so its sections cannot be changed.")
            )
        return cleaned

    def clean_layout_config(self) -> Any:
        layout_config = self.cleaned_data["layout_config"]
        try:
            sections_of(layout_config)
        except ImpossibleLayout as error:
            raise ValidationError(error_message(error)) from error
        named = [section | {"name": plain_name(section["name"])} for section in layout_config["sections"]]
        return layout_config | {"sections": named}


def _is_in_use(layout: SeatLayout | None) -> bool:
    return layout is not None and layout.events.exists()


@admin.register(SeatLayout)
class SeatLayoutAdmin(ObjectActionAdmin):
    form = SeatLayoutForm
    list_display = ("name", "description", "seat_count", "event_count")
    search_fields = ("name", "description")
    ordering = ("total_seats", "name")

    class Media:
        js = ("events/layout_preview.js",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(events_using=Count("events"))

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self.preview_view)
        return [path("preview/", preview, name="events_seatlayout_preview"), *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: SeatLayout | None = None) -> tuple[str, ...]:  # noqa: ARG002
        return ("preview", "sections_in_use") if _is_in_use(obj) else ("preview",)

    def get_fields(self, request: HttpRequest, obj: SeatLayout | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Without the sections if events use them: seats that exist already would not follow a change."""
        sections = ("sections_in_use", "preview") if _is_in_use(obj) else ("layout_config", "preview")
        return ("name", "description", *sections, "reason")

    @admin.display(description=_("sections"))
    def sections_in_use(self, layout: SeatLayout) -> str:  # noqa: ARG002
        return gettext(
            "The sections cannot be changed because events use this layout. Assign another layout to an event instead."
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"layout_config": EXAMPLE, **super().get_changeform_initial_data(request)}

    def describe_choice(self, obj: SeatLayout) -> str:
        return gettext("%s seats") % f"{obj.total_seats:,}"

    @admin.display(description=_("seats"), ordering="total_seats")
    def seat_count(self, layout: SeatLayout) -> str:
        return f"{layout.total_seats:,}"

    @admin.display(description=_("events"), ordering="events_using")
    def event_count(self, layout: Any) -> int:
        count: int = layout.events_using
        return count

    @admin.display(description=_("preview"))
    def preview(self, layout: SeatLayout) -> SafeString:
        seat_plan = render_seat_plan(layout.layout_config or EXAMPLE)
        url = reverse("admin:events_seatlayout_preview")
        return format_html('<div class="seat-plan" data-preview-url="{}">{}</div>', url, mark_safe(seat_plan))  # noqa: S308

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """The seat plan of a layout that is being edited."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            layout_config = json.loads(request.POST.get("layout_config", ""), cls=LayoutDecoder)
        except ValueError as error:
            return HttpResponse(format_html('<p class="errornote">JSON: {}</p>', str(error)))
        return HttpResponse(render_seat_plan(layout_config))

    def save_model(self, request: HttpRequest, obj: SeatLayout, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        obj.total_seats = sum(section.rows * section.seats_per_row for section in sections_of(obj.layout_config))
        super().save_model(request, obj, form, change)

    def get_changed_columns(self, obj: SeatLayout, form: ModelForm) -> set[str]:
        return super().get_changed_columns(obj, form) | {"total_seats"}
