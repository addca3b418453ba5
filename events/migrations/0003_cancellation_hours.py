"""Until when a paid reservation of an event may be cancelled."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0002_max_tickets_per_buyer"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="cancellation_hours",
            field=models.SmallIntegerField(
                blank=True, null=True, verbose_name="cancellation deadline (hours before the event)"
            ),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cancellation_hours__isnull", True), ("cancellation_hours__range", (0, 8760)), _connector="OR"
                ),
                name="event_cancellation_within_a_year",
            ),
        ),
    ]
