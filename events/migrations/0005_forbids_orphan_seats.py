"""Whether buyers who choose their seats may leave a single one over."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0004_event_moved"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="forbids_orphan_seats",
            field=models.BooleanField(default=False, db_default=False, verbose_name="no single seat may be left over"),
        ),
    ]
