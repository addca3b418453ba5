from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="messagesubscriber",
            name="is_internal",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
