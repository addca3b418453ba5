"""Change forms that know what they showed: they write only what was entered, and never over somebody else's change.

Each field sends back, hidden, the value that the page showed (Django's `show_hidden_initial`). A field that was left alone
keeps what the row has now; one that was edited here and meanwhile elsewhere, to another value, is an error that shows the
other value. Saving again then replaces it.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.forms.models import InlineForeignKeyField
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.values import as_stored, render_value

MAX_SHOWN_CHARACTERS = 120

# Untyped: their stubs leave out the methods that are overridden here.
_BoundField: Any = BoundField
_ModelForm: Any = forms.ModelForm
_InlineFormSet: Any = forms.BaseInlineFormSet


class MergingBoundField(_BoundField):
    """A field with three values: shown by the page, posted by it, and current (`initial`, what the row has now)."""

    @property
    def is_tracked(self) -> bool:
        return bool(self.field.show_hidden_initial and self.form.is_merged)

    @cached_property
    def posted(self) -> Any:
        return super().data

    @cached_property
    def shown(self) -> Any:
        if not self.form.has_shown_values:
            return self.initial
        hidden = self.form._widget_data_value(self.field.hidden_widget(), self.html_initial_name)
        try:
            return self.field.to_python(hidden)
        except ValidationError:  # a choice that is gone: `has_changed` compares keys, too
            return hidden

    @cached_property
    def is_touched(self) -> bool:
        return self._differ(self.shown, self.posted)

    @cached_property
    def is_outdated(self) -> bool:
        return self.is_tracked and not self.form.is_gone and self._differ(self.shown, self._as_data(self.initial))

    @property
    def collides(self) -> bool:
        return self.is_outdated and self.is_touched and self._differ(self.initial, self.posted)

    @property
    def data(self) -> Any:
        """What is cleaned: the entered value, or the row's own for a field that was left alone."""
        if not self.is_tracked or self.is_touched or self.form.is_gone:
            return self.posted
        value = self.form.initial.get(self.name)
        return value if isinstance(value, datetime) else self.field.prepare_value(value)

    def _has_changed(self) -> bool:
        if not self.is_tracked:
            return bool(super()._has_changed())
        return self.is_touched and (self.form.is_gone or self._differ(self.initial, self.posted))

    def as_widget(self, widget: Any = None, attrs: Any = None, only_initial: bool = False) -> Any:  # noqa: FBT001, FBT002
        """The hidden value is always the current one: a page that is shown again has shown it."""
        if not only_initial or self.form.is_gone:
            return super().as_widget(widget, attrs, only_initial)
        value = self.field.prepare_value(self.initial)
        hidden_attrs = {"id": self.html_initial_id, "autocomplete": "off"}
        return widget.render(self.html_initial_name, value, hidden_attrs, self.form.renderer)

    def _as_data(self, value: Any) -> Any:
        """A value of the row as the widget would post it."""
        widget = self.field.widget
        return widget.decompress(value) if isinstance(widget, forms.MultiWidget) else self.field.prepare_value(value)

    def _differ(self, value: Any, data: Any) -> bool:
        return bool(self.field.has_changed(_normalize_lines(value), _normalize_lines(data)))


def _normalize_lines(value: Any) -> Any:
    """Browsers post every line break as CRLF."""
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


class MergingForm(_ModelForm):
    """A change form of merging fields. `refusal` is why the operation behind the form has refused: see `model_admin`."""

    bound_field_class = MergingBoundField
    refusal = ""
    is_gone = False  # of a row that was deleted while the page was open

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_merged:
            self.track_fields()

    @property
    def is_merged(self) -> bool:
        return self.is_gone or not self.instance._state.adding

    def track_fields(self) -> None:
        options = self._meta.model._meta
        columns = {field.name for field in (*options.fields, *options.many_to_many) if not field.primary_key}
        for name, field in self.fields.items():
            is_column = name in columns and not isinstance(field, InlineForeignKeyField)
            field.show_hidden_initial = is_column and not field.disabled

    @cached_property
    def has_shown_values(self) -> bool:
        prefix = self.add_initial_prefix("")
        return any(key.startswith(prefix) for key in self.data)

    @cached_property
    def changed_data(self) -> list[str]:
        own = {self._meta.model._meta.pk.name} if self.is_gone else set()
        return [name for name, bound in self._bound_items() if name not in own and bound._has_changed()]

    def merged_fields(self) -> list[MergingBoundField]:
        """The fields that somebody else has changed while the page was open, and this form leaves so."""
        return [bound for bound in self if bound.is_outdated and not bound.is_touched]

    def changes(self) -> Iterator[tuple[str, Any, Any]]:
        """The label, the old and the new value of each changed field, as the history stores them."""
        for name in self.changed_data:
            field = self.fields[name]
            yield (
                str(self[name].label),
                as_stored(field, self.initial.get(name)),
                as_stored(field, self.cleaned_data.get(name)),
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.refusal:
            self.add_error(None, self.refusal)
        if self.is_gone:
            self.errors.clear()
            self.add_error(None, _("This row was deleted by somebody else while the page was open."))
            return cleaned
        for bound in self:
            if bound.collides:
                self.add_error(bound.name, _collision(bound))
        return cleaned


def _collision(bound: MergingBoundField) -> ValidationError:
    value = render_value(as_stored(bound.field, bound.initial))
    return ValidationError(
        _("Somebody else has changed this to “%(value)s” while the page was open. Save again to replace it."),
        code="changed_meanwhile",
        params={"value": Truncator(value).chars(MAX_SHOWN_CHARACTERS)},
    )


class MergingFormSet(_InlineFormSet):
    """Rows that somebody else has added stay; those that are gone stay gone, unless they were edited here."""

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)
        if self.is_bound and i < self.initial_form_count() and form.instance._state.adding:
            form.is_gone = form.empty_permitted = True
            form.use_required_attribute = False
            form.instance.pk = None  # not PostgreSQL's expression, which would be taken for a key
            form.track_fields()
        return form

    def clean(self) -> None:
        super().clean()
        for form in self.initial_forms:
            outdated = [bound.label for bound in form if bound.is_outdated]
            if outdated and self._should_delete_form(form):
                raise ValidationError(
                    _(
                        "%(row)s: somebody else has changed %(fields)s while the page was open. Save again to delete it "
                        "all the same."
                    ),
                    params={"row": form.instance, "fields": ", ".join(map(str, outdated))},
                )
