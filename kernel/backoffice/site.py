"""The admin's site: what the service is about comes first, users and groups last."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_dependencies
from django.core.checks import CheckMessage, Tags, register
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class ServiceSite(admin.AdminSite):
    site_header = site_title = _("Ticket service")
    index_title = _("Overview")
    site_url = None

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Apps as in the settings, Django's own last; models in the order in which their pages are registered."""
        places = {model: place for place, model in enumerate(self._registry)}
        found = super().get_app_list(request, app_label)
        for app in found:
            app["models"].sort(key=lambda shown: places[shown["model"]])
        configs = list(apps.app_configs)
        return sorted(
            found,
            key=lambda app: (
                apps.get_app_config(app["app_label"]).name.startswith("django."),
                configs.index(app["app_label"]),
            ),
        )


class ServiceAdmin(SimpleAdminConfig):
    """Its pages are loaded with the URLs: a process without pages, such as `realtime`, needs less memory."""

    default_site = "kernel.backoffice.site.ServiceSite"

    def ready(self) -> None:
        register(check_dependencies, Tags.admin)
        register(pages_are_sound, Tags.admin)


def pages_are_sound(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Django's own check looks only at pages that are loaded by then."""
    admin.autodiscover()
    return admin.site.check(app_configs)
