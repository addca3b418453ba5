"""Tables `queue_policies` and `queue_draws`."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models import Event


def validate_moment(moment: datetime) -> None:
    """Raises ValidationError for years that can only be a typing error."""
    if not 2000 <= moment.year <= 2100:
        raise ValidationError(_("The year must be from 2000 to 2100."))


LIMITS = {
    "threshold": (0, 10_000_000),
    "admissions_per_second": (0, 1_000_000),
    "burst": (1, 1_000_000),
    "admission_seconds": (10, 86_400),
    "idle_seconds": (5, 86_400),
    "grace_seconds": (0, 86_400),
    "active_idle_seconds": (5, 86_400),
}


def _within(field: str, least: float, most: float) -> models.CheckConstraint:
    condition = models.Q(**{f"{field}__isnull": True}) | models.Q(**{f"{field}__range": (least, most)})
    return models.CheckConstraint(condition=condition, name=f"queue_policy_{field}_possible")


class QueuePolicy(models.Model):
    """An event's waiting room policy. NULL is the default from the settings; an event without a row has all defaults."""

    event = models.OneToOneField(
        Event, on_delete=models.CASCADE, primary_key=True, related_name="queue_policy", verbose_name=_("event")
    )
    is_on = models.BooleanField(_("enabled"), null=True, blank=True)
    is_paused = models.BooleanField(_("paused"), db_default=False, default=False)
    # How many may be active at once.
    threshold = models.IntegerField(_("maximum active users"), null=True, blank=True)
    # How many are admitted per second, and how many at once after a quiet time.
    admissions_per_second = models.FloatField(_("admissions per second"), null=True, blank=True)
    burst = models.IntegerField(_("admission burst"), null=True, blank=True)
    # How long an admission lasts.
    admission_seconds = models.IntegerField(_("admission lifetime (seconds)"), null=True, blank=True)
    # After how much silence a waiting user is dropped, loses the kept position, and an active user's admission ends.
    idle_seconds = models.IntegerField(_("queue idle timeout (seconds)"), null=True, blank=True)
    grace_seconds = models.IntegerField(_("queue grace period (seconds)"), null=True, blank=True)
    active_idle_seconds = models.IntegerField(_("active idle timeout (seconds)"), null=True, blank=True)
    # Visitors who come before this moment are drawn by lot at it. NULL: the queue is open from the beginning.
    opens_at = models.DateTimeField(_("opens at"), null=True, blank=True, validators=[validate_moment])
    # When the queue was last cleared: passes and tickets issued before are void.
    cleared_at = models.DateTimeField(_("last cleared"), null=True, editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "queue_policies"
        verbose_name = _("waiting room")
        verbose_name_plural = _("waiting rooms")
        constraints = [_within(field, *limits) for field, limits in LIMITS.items()]

    def __str__(self) -> str:
        return str(self.event)


class QueueDraw(models.Model):
    """The draw that orders the visitors who came before the opening: see `queueing.draws`.

    The seed is made before anybody can come, and its hash is published at once. The seed itself is published only after the
    draw was held and recorded.
    """

    event = models.OneToOneField(Event, on_delete=models.CASCADE, primary_key=True, related_name="queue_draw")
    seed = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    drawn_at = models.DateTimeField(null=True, editable=False)
    # The participants' codes of 32 bytes each, concatenated in the order that was drawn.
    participants = models.BinaryField(null=True, editable=False)

    class Meta:
        db_table = "queue_draws"

    def __str__(self) -> str:
        return f"draw of {self.event_id}"
