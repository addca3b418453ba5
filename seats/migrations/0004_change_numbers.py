from django.db import migrations


class Migration(migrations.Migration):
    """Changes of seats and stock are numbered, so that they are told in the order in which they happened."""

    dependencies = [
        ("seats", "0003_refund_due"),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE change_number", "DROP SEQUENCE change_number"),
    ]
