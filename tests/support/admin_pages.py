"""The pages of Django's admin, as an organiser uses them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client


class AdminPages:
    """The Django admin, in this process, signed in."""

    def __init__(self) -> None:
        users = get_user_model().objects
        self.client = Client()
        found, _ = users.get_or_create(username="organiser", is_staff=True, is_superuser=True)
        self.client.force_login(found)

    def change_event(self, event_id: object, *, layout: object = None, **seconds_from_now: float) -> None:
        """Opens the event's page, sets its layout and its dates (`sale_start_date=3600`), and saves."""
        url = f"/admin/events/event/{event_id}/change/"
        page = self.client.get(url)
        assert page.status_code == 200
        form = page.context["adminform"].form
        data = {name: "" if value is None else value for name, value in form.initial.items()}
        data |= {"seat_layout": str(layout)} if layout else {}
        moments = {name: form.initial[name] for name in ("event_date", "sale_start_date", "sale_end_date")}
        moments |= {name: datetime.now(UTC) + timedelta(seconds=ahead) for name, ahead in seconds_from_now.items()}
        for name, at in moments.items():
            moment = at.astimezone(ZoneInfo(settings.VENUE_TIME_ZONE))  # as an organiser enters it
            data.pop(name)
            data[f"{name}_0"], data[f"{name}_1"] = f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}"
        for formset in page.context["inline_admin_formsets"]:
            prefix = formset.formset.prefix
            for key, value in formset.formset.management_form.initial.items():
                data[f"{prefix}-{key}"] = value
            for inline in formset.formset.initial_forms:
                for field in inline:
                    value = field.value()
                    data[field.html_name] = "" if value is None else str(getattr(value, "pk", value))
        saved = self.client.post(url, data)
        errors = saved.context["adminform"].form.errors if saved.status_code == 200 else None
        assert saved.status_code == 302, errors
