"""Mails: what was sent to buyers, and what was not. Without names, addresses and texts: nobody needs them here."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kernel.backoffice.actions import ObjectAction, ObjectActionAdmin
from kernel.backoffice.display import badge, format_time
from mail import services
from mail.models import Mail, MailKind
from mail.selectors import find_mails

Status = Mail.Status
BADGES = {
    Status.PENDING: "warning",
    Status.SENDING: "warning",
    Status.SENT: "success",
    Status.FAILED: "danger",
    Status.UNCERTAIN: "danger",
    Status.DROPPED: "",
}


def _send_again(mail: Mail) -> str:
    services.send_again(mail_id=mail.pk)
    return gettext("is sent again.")


@admin.register(Mail)
class MailAdmin(ObjectActionAdmin):
    list_display = ("kind_label", "reservation", "status_badge", "attempts", "error", "created", "sent")
    list_display_links = ("kind_label",)
    list_filter = ("status", "kind", "created_at")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("user_id",)
    search_help_text = _("Reservation number, reservation ID, event ID or user ID")
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("kind_label", "reservation"),
                    ("status_badge", "attempts", "error"),
                    ("created", "next_attempt", "sent"),
                    "user_id",
                    "message_header",
                )
            },
        ),
    )
    object_actions = (
        ObjectAction(
            name="again",
            label=_("Send again"),
            question=_(
                "Sends the mail once more, with the same Message-ID, to the address known now. Buyers who have got it"
                " already may get it twice."
            ),
            run=_send_again,
            is_available=lambda mail: mail.status not in (Status.PENDING, Status.SENDING),
            in_changelist=True,
        ),
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Mail],
        search_term: str,
    ) -> tuple[QuerySet[Mail], bool]:
        term = search_term.strip()
        return (find_mails(queryset, term) if term else queryset), False

    @admin.display(description=_("kind"), ordering="kind")
    def kind_label(self, mail: Mail) -> str:
        return str(MailKind(mail.kind).label)

    @admin.display(description=_("reservation"))
    def reservation(self, mail: Mail) -> str | SafeString:
        if mail.reservation_id is None:
            return "-"
        url = reverse("admin:reservations_reservation_change", args=[mail.reservation_id])
        return format_html('<a href="{}">{}</a>', url, mail.data.get("reservationNumber") or mail.reservation_id)

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, mail: Mail) -> SafeString:
        status = Status(mail.status)
        return badge(status.label, BADGES[status])

    @admin.display(description=_("created"), ordering="id")
    def created(self, mail: Mail) -> str:
        return format_time(mail.created_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, mail: Mail) -> str:
        return format_time(mail.next_attempt_at if mail.status == Status.PENDING else None)

    @admin.display(description=_("sent"), ordering="sent_at")
    def sent(self, mail: Mail) -> str:
        return format_time(mail.sent_at)

    @admin.display(description="Message-ID")
    def message_header(self, mail: Mail) -> str:
        return mail.public_id.hex

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Mail | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Mail | None = None) -> bool:  # noqa: ARG002
        return False
