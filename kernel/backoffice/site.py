"""The admin site and its app configuration."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_dependencies
from django.core.checks import CheckMessage, Tags, register
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from kernel.redis.rate_limits import RateLimited


class BackofficeSite(admin.AdminSite):
    site_header = site_title = _("Ticket service")
    index_title = _("Overview")
    site_url = None

    def get_urls(self) -> list[Any]:
        """Without the way to an object's public page: no object has one, and ids that are no UUIDs would be a 500 there."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        from kernel.backoffice.choosers import ChooserView  # with the pages, not at start

        view: Any = ChooserView.as_view(admin_site=self)
        response: HttpResponse = view(request)
        return response

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method != "POST":
            return super().login(request, extra_context)
        from kernel.backoffice import pages, sign_in  # with the pages, not at start

        attempt = sign_in.SignInAttempt(request)
        try:
            attempt.count()
        except RateLimited as error:
            return pages.too_many_attempts(request, error)
        response = super().login(request, extra_context)
        attempt.finish(response)
        return response

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Apps in the order of INSTALLED_APPS, Django's own last; models in the order of their registration."""
        model_order = {model: index for index, model in enumerate(self._registry)}
        app_list = super().get_app_list(request, app_label)
        for app in app_list:
            app["models"].sort(key=lambda entry: model_order[entry["model"]])
        app_order = list(apps.app_configs)
        return sorted(
            app_list,
            key=lambda app: (
                apps.get_app_config(app["app_label"]).name.startswith("django."),
                app_order.index(app["app_label"]),
            ),
        )


class BackofficeAdminConfig(SimpleAdminConfig):
    """Loads admin modules with the URLs, not at start: a process without pages, such as `realtime`, saves the memory."""

    default_site = "kernel.backoffice.site.BackofficeSite"

    def ready(self) -> None:
        register(check_dependencies, Tags.admin)
        register(check_registered_pages, Tags.admin)


def check_registered_pages(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Django's own check sees only admin modules that are already loaded, so this one loads them first."""
    admin.autodiscover()
    return admin.site.check(app_configs)
