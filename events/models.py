"""Tables `events`, `seat_layouts` and `keyword_mappings`, and the index of the search: docs/search.md."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class SeatLayout(models.Model):
    """How a hall is seated. `layout_config` is what `events.services.layouts.sections_of` reads."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    name = models.CharField(_("name"), max_length=255)
    description = models.TextField(_("description"), null=True, blank=True)
    total_seats = models.IntegerField(_("total seats"), db_default=0)
    layout_config = models.JSONField(_("sections"))
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "seat_layouts"
        verbose_name = _("seat layout")
        verbose_name_plural = _("seat layouts")
        constraints = [
            models.CheckConstraint(condition=models.Q(total_seats__gte=0), name="layout_seats_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """Something that people buy places for."""

    class Status(models.TextChoices):
        UPCOMING = "upcoming", _("upcoming")
        ON_SALE = "on_sale", _("on sale")
        SOLD_OUT = "sold_out", _("sold out")
        ENDED = "ended", _("ended")
        CANCELLED = "cancelled", _("cancelled")

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    title = models.CharField(_("title"), max_length=255)
    description = models.TextField(_("description"), null=True, blank=True)
    venue = models.CharField(_("venue"), max_length=255)
    address = models.CharField(_("address"), max_length=500, null=True, blank=True)
    event_date = models.DateTimeField(_("event date"))
    sale_start_date = models.DateTimeField(_("sale start"))
    sale_end_date = models.DateTimeField(_("sale end"))
    poster_image_url = models.TextField(_("poster URL"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=20, choices=Status, db_default=Status.UPCOMING)
    artist_name = models.CharField(_("artist"), max_length=255, null=True, blank=True)
    seat_layout = models.ForeignKey(
        SeatLayout,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("seat layout"),
    )
    # How many seats a buyer may take at once; NULL: MAX_SEATS_PER_RESERVATION.
    max_seats_per_reservation = models.SmallIntegerField(_("maximum seats per reservation"), null=True, blank=True)
    # How many seats and tickets a buyer may have, pending and paid together; NULL: MAX_TICKETS_PER_BUYER.
    max_tickets_per_buyer = models.SmallIntegerField(_("maximum tickets per buyer"), null=True, blank=True)
    # How many hours before the event a paid reservation may be cancelled for the last time; NULL: CANCELLATION_HOURS.
    cancellation_hours = models.SmallIntegerField(
        _("cancellation deadline (hours before the event)"), null=True, blank=True
    )
    # Whether buyers who choose their seats may leave a single available seat between others that are taken.
    forbids_orphan_seats = models.BooleanField(_("no single seat may be left over"), default=False, db_default=False)
    # Whether buyers may wait for places while it is sold out.
    has_waitlist = models.BooleanField(_("waiting list"), db_default=False, default=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("last changed"), db_default=Now(), auto_now=True)

    class Meta:
        db_table = "events"
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["upcoming", "on_sale", "sold_out", "ended", "cancelled"]),
                name="event_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(sale_start_date__lte=models.F("sale_end_date")),
                name="event_sale_starts_before_it_ends",
            ),
            models.CheckConstraint(
                condition=models.Q(max_seats_per_reservation__isnull=True)
                | models.Q(max_seats_per_reservation__range=(1, 100)),
                name="event_max_seats_1_to_100",
            ),
            models.CheckConstraint(
                condition=models.Q(max_tickets_per_buyer__isnull=True)
                | models.Q(max_tickets_per_buyer__range=(1, 10_000)),
                name="event_max_tickets_1_to_10000",
            ),
            models.CheckConstraint(
                condition=models.Q(cancellation_hours__isnull=True) | models.Q(cancellation_hours__range=(0, 8760)),
                name="event_cancellation_within_a_year",
            ),
        ]
        indexes = [
            models.Index(fields=["sale_start_date", "id"], name="events_by_sale_start"),
            models.Index(fields=["status", "sale_start_date", "id"], name="events_by_status_sale_start"),
        ]

    def __str__(self) -> str:
        return self.title


class KeywordMapping(models.Model):
    """Two spellings of one name, so that a search for either finds both."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    korean = models.CharField(_("Korean"), max_length=255)
    english = models.CharField(_("English"), max_length=255)
    entity_type = models.CharField(_("type"), max_length=50, db_default="general")
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        db_table = "keyword_mappings"
        verbose_name = _("search keyword")
        verbose_name_plural = _("search keywords")
        constraints = [
            models.UniqueConstraint(fields=["korean", "english"], name="keyword_mapping_once"),
        ]

    def __str__(self) -> str:
        return f"{self.korean} / {self.english}"


class SearchTerm(models.Model):
    """A word or name that events can be found by, in every form that a search compares. Terms are only ever added."""

    id = models.AutoField(primary_key=True)
    text = models.TextField(db_collation="C")  # folded
    is_phrase = models.BooleanField()  # several words, written without spaces
    keys = models.TextField(db_collation="C")  # the keystrokes that type it, in lower case
    initials = models.TextField(db_collation="C")  # the keys of its initial consonants
    sound = models.TextField(db_collation="C")

    class Meta:
        db_table = "search_terms"
        constraints = [models.UniqueConstraint(fields=["text"], name="search_term_once")]
        indexes = [
            # ASCII, since pg_trgm makes no trigrams of hangul where the locale is C.
            *(
                GinIndex(
                    fields=["keys", "initials", "sound"],
                    opclasses=["gin_trgm_ops"] * 3,
                    name=f"search_{name}_by_trigrams",
                    condition=models.Q(is_phrase=is_phrase),
                    fastupdate=False,
                )
                for name, is_phrase in (("words", False), ("phrases", True))
            ),
            # What is asked for is too short for a trigram: then all words are read, from this index alone.
            models.Index(
                fields=["keys"],
                include=["id", "text", "initials", "sound"],
                condition=models.Q(is_phrase=False),
                name="search_words_by_keys",
            ),
            models.Index(fields=["sound"], name="search_terms_by_sound"),
        ]

    def __str__(self) -> str:
        return self.text


class EventSearch(models.Model):
    """The terms of an event, by where they stand (`events.search.postings`), and in which order events are shown.

    Triggers in the database insert the row with its event, copy `status` and `sale_start_date`, delete it with its event,
    and count a `version` when a text of the event changes. The row is up to date when `indexed_version` is equal to that.
    """

    event = models.OneToOneField(
        Event,
        on_delete=models.DO_NOTHING,
        primary_key=True,
        related_name="search",
        db_constraint=False,  # the migration adds it, with ON DELETE CASCADE
    )
    status = models.CharField(max_length=20)
    sale_start_date = models.DateTimeField()
    version = models.BigIntegerField(db_default=1)
    indexed_version = models.BigIntegerField(db_default=0)
    title = models.TextField(db_default="", db_collation="C")
    postings = ArrayField(models.IntegerField(), db_default=[])
    standing = models.GeneratedField(
        expression=models.Case(
            models.When(status="on_sale", then=0), models.When(status="upcoming", then=1), default=2
        ),
        output_field=models.SmallIntegerField(),
        db_persist=True,
    )

    class Meta:
        db_table = "event_search"
        indexes = [
            # Many events have the same letters and words: entries that wait in a list are inserted together, for a third of
            # the CPU time. The list, in kB, is short, since every search reads through it.
            GinIndex(
                fields=["postings"],
                opclasses=["gin__int_ops"],
                name="event_search_by_postings",
                fastupdate=True,
                gin_pending_list_limit=256,
            ),
            models.Index(fields=["title"], name="event_search_by_title"),
            models.Index(
                "event", condition=models.Q(version__gt=models.F("indexed_version")), name="event_search_out_of_date"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class KeywordChange(models.Model):
    """A mapping that was inserted, changed or deleted, by a trigger. Its events' terms are still to be made again."""

    korean = models.TextField()
    english = models.TextField()

    class Meta:
        db_table = "search_keyword_changes"

    def __str__(self) -> str:
        return f"{self.korean} / {self.english}"


class FruitlessSearch(models.Model):
    """A search that found nothing, and how often on that day. Nobody's name stands here."""

    day = models.DateField(_("day"))
    text = models.CharField(_("search text"), max_length=64)
    times = models.IntegerField(_("times"), db_default=1)

    class Meta:
        db_table = "search_fruitless"
        verbose_name = _("search that found nothing")
        verbose_name_plural = _("searches that found nothing")
        constraints = [models.UniqueConstraint(fields=["day", "text"], name="fruitless_search_once_a_day")]

    def __str__(self) -> str:
        return self.text
