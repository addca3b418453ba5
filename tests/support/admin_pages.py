"""The pages of Django's admin, as an organiser uses them."""

from datetime import datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client

LINES_END = str.maketrans({"\n": "\r\n"})


class ChangeForm(HTMLParser):
    """The fields of a page's change form, `{name: value or values}`, as a browser posts them when nothing is entered."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.is_inside = False
        self.select = self.textarea = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        name, kind, value = (str(attributes.get(key) or "") for key in ("name", "type", "value"))
        if tag == "form":
            self.is_inside = str(attributes.get("id", "")).endswith("_form")
        if not self.is_inside or "disabled" in attributes:
            return
        if tag == "input" and name and kind not in ("submit", "button"):
            if kind not in ("checkbox", "radio"):
                self.add(name, value)
            elif "checked" in attributes:
                self.add(name, value or "on")
        elif tag == "select":
            self.select = name
        elif tag == "textarea":
            self.textarea = name
            self.fields[name] = [""]
        elif tag == "option" and self.select and "selected" in attributes:
            self.add(self.select, value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.is_inside = False
        elif tag == "textarea":
            text = self.fields.pop(self.textarea, [""])[0]
            self.add(self.textarea, text.removeprefix("\n"))
            self.textarea = ""

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.fields[self.textarea][0] += data

    def add(self, name: str, value: str) -> None:
        value = value.replace("\r\n", "\n").translate(LINES_END)
        self.fields.setdefault(name, []).append(value)


def open_form(client: Client, url: str) -> dict[str, str | list[str]]:
    """Opens a page. What a browser would post when it is saved, unless something is entered."""
    page = client.get(url)
    assert page.status_code == 200, page.status_code
    fields = ChangeForm(page.content.decode()).fields
    fields.pop("csrfmiddlewaretoken", None)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


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
        entered = {"seat_layout": str(layout)} if layout else {}
        for name, ahead in seconds_from_now.items():
            moment = datetime.now(ZoneInfo(settings.VENUE_TIME_ZONE)) + timedelta(
                seconds=ahead
            )  # as an organiser enters it
            entered |= {f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"}
        saved = self.client.post(url, open_form(self.client, url) | entered)
        errors = saved.context["adminform"].form.errors if saved.status_code == 200 else None
        assert saved.status_code == 302, errors
