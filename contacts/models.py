"""Table `contacts`."""

from django.db import models
from django.db.models.functions import Now, Upper


class Contact(models.Model):
    """A buyer's name, e-mail address and language, as of the last reservation. Nothing refers to it."""

    user_id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)  # empty: not known
    email = models.CharField(max_length=254)
    language = models.CharField(max_length=10)  # one of LANGUAGES
    created_at = models.DateTimeField(db_default=Now())
    used_at = models.DateTimeField(db_default=Now())  # to the day

    class Meta:
        db_table = "contacts"
        indexes = [
            models.Index(fields=["used_at"], name="contacts_by_use"),
            models.Index(Upper("email"), name="contacts_by_email"),
        ]

    def __str__(self) -> str:
        return str(self.user_id)  # never the name: this is what logs show
