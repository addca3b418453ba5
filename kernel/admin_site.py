"""The admin's site: what the service is about comes first, users and groups last."""

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class ServiceSite(AdminSite):
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


class ServiceAdmin(AdminConfig):
    default_site = "kernel.admin_site.ServiceSite"
