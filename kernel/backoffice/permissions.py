"""Read access to the admin for all staff."""

from django.db import models
from django.http import HttpRequest


class StaffReadOnlyMixin:
    """Lets all staff view every page. Changes still need the model's own permissions."""

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:  # noqa: ARG002
        return _is_staff(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_staff(request)


def _is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)
