"""Where seats are: `generate_seats` fills the columns in, also for seats that exist already."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("seats", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="seat",
            name="x",
            field=models.FloatField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="seat",
            name="y",
            field=models.FloatField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="seat",
            name="block",
            field=models.SmallIntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="seat",
            name="position",
            field=models.IntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="seat",
            name="accessible",
            field=models.BooleanField(db_default=False, verbose_name="accessible"),
        ),
        migrations.AddIndex(
            model_name="seat",
            index=models.Index(condition=models.Q(("block", 0)), fields=["event"], name="seats_to_place"),
        ),
    ]
