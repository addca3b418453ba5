"""How many seats and tickets a buyer may have of an event; NULL: MAX_TICKETS_PER_BUYER."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="event",
            name="max_tickets_per_buyer",
            field=models.SmallIntegerField(blank=True, null=True, verbose_name="maximum tickets per buyer"),
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("max_tickets_per_buyer__isnull", True),
                    ("max_tickets_per_buyer__range", (1, 10000)),
                    _connector="OR",
                ),
                name="event_max_tickets_1_to_10000",
            ),
        ),
    ]
