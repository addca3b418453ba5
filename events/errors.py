"""Errors that concern events."""

from typing import Any

from django.utils.translation import gettext_noop as _

from kernel.errors import DomainError, Kind


class EventNotFound(DomainError):
    kind = Kind.NOT_FOUND
    message = _("이벤트를 찾을 수 없습니다.")
    code = "EVENT_NOT_FOUND"


class NotOnSale(DomainError):
    message = "판매 중인 이벤트가 아닙니다."
    code = "NOT_ON_SALE"
    result_envelope = True


class ImpossibleLayout(DomainError):
    """A layout from which no seats can be generated. The message tells the organiser what to correct."""

    code = "IMPOSSIBLE_LAYOUT"
    result_envelope = True

    def __init__(self, template: str, **values: Any) -> None:
        self.template, self.values = template, values
        super().__init__(template % values)
