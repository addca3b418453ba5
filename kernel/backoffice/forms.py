"""Form parts that admin pages share: reasons, number limits, foreign keys."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.merging import MergingForm

MAX_REASON_LENGTH = 500


class ReasonForm(forms.Form):
    """The form of an object action. Fields of subclasses are passed to the action by name."""

    reason = forms.CharField(
        label=_("reason"), max_length=MAX_REASON_LENGTH, help_text=_("Recorded in the history with your username."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )  # fmt: skip


class ReasonMixin(MergingForm):
    """A change form with an optional reason. It is recorded in the history and is not a field of the model."""

    reason = forms.CharField(
        label=capfirst(_("reason")),
        max_length=MAX_REASON_LENGTH,
        required=False,
        help_text=_("Why you are making this change. Recorded in the history."),
    )

    @property
    def changed_data(self) -> list[str]:
        return [name for name in super().changed_data if name != "reason"]


def limit_numbers(form: forms.BaseForm, limits: Mapping[str, tuple[float, float]]) -> None:
    """Validates number fields against (minimum, maximum). The database would report only its constraint's name."""
    for name, (minimum, maximum) in limits.items():
        if field := form.fields.get(name):  # absent where the user may only view
            field.validators += [MinValueValidator(minimum), MaxValueValidator(maximum)]
            field.widget.attrs |= {"min": minimum, "max": maximum}


class Autocomplete(AutocompleteSelect):
    """An autocomplete field that treats values that are not keys as no selection. Django's queries them, and fails."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if self._is_key(key)], attr)

    def _is_key(self, key: str) -> bool:
        try:
            self.field.target_field.to_python(key)
        except ValidationError:
            return False
        return True


class MomentField(forms.SplitDateTimeField):
    """A date and a time in the time zone of the page. In an hour that the clocks repeat, the first is meant."""

    def compress(self, data_list: Any) -> Any:
        try:
            return super().compress(data_list)
        except ValidationError:
            entered = datetime.combine(*data_list)
            moment = entered.replace(tzinfo=timezone.get_current_timezone())
            if moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) != entered:
                raise  # an hour that the clocks skip
            return moment

    def clean(self, value: Any) -> Any:
        """Also a moment as the row has it, which may be the second of the repeated hour, or have microseconds."""
        return value if isinstance(value, datetime) else super().clean(value)
