"""Choosers of related objects, in which objects of the same title can be told apart."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView


def chooser_label(obj: Any) -> str:
    """The title, with what the page of its model says about it (`describe_choice`) and the beginning of its id."""
    registered = admin.site.is_registered(type(obj))
    describe = getattr(admin.site.get_model_admin(type(obj)), "describe_choice", None) if registered else None
    description = describe(obj) if describe else ""
    return f"{obj} · {description} · {str(obj.pk)[:8]}" if description else str(obj)


class ChooserField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return chooser_label(obj)


class ChooserView(AutocompleteJsonView):
    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        return {**super().serialize_result(obj, to_field_name), "text": chooser_label(obj)}


class ChooserListFilter(admin.RelatedOnlyFieldListFilter):
    def field_choices(self, field: Any, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        keys = [key for key, _ in super().field_choices(field, request, model_admin)]
        found = field.remote_field.model._default_manager.in_bulk(keys)
        return [(key, chooser_label(found[key])) for key in keys if key in found]
