"""Whether an event has a waiting list."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0005_forbids_orphan_seats"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="has_waitlist",
            field=models.BooleanField(db_default=False, default=False, verbose_name="waiting list"),
        ),
    ]
