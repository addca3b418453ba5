"""The index of the search (docs/search.md): terms, where they stand in events, and the triggers that keep it up to date."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.contrib.postgres.operations import CreateExtension, TrigramExtension
from django.db import migrations, models

# Functions and tables are found by whoever writes events, whatever their search_path is.
TRIGGERS = """
ALTER TABLE event_search ADD CONSTRAINT event_search_of_event
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE;
ALTER TABLE event_search SET (fillfactor = 80);  -- a change of the status then leaves the indexes alone
-- Of more terms it is known in how many events they are; of all others PostgreSQL assumes less.
ALTER TABLE event_search ALTER postings SET STATISTICS 300;
INSERT INTO event_search (event_id, status, sale_start_date) SELECT id, status, sale_start_date FROM events;

CREATE FUNCTION add_event_to_search() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO event_search (event_id, status, sale_start_date) VALUES (NEW.id, NEW.status, NEW.sale_start_date);
    RETURN NULL;
END $$;
CREATE TRIGGER event_added_to_search AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION add_event_to_search();

CREATE FUNCTION note_event_for_search() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    UPDATE event_search SET status = NEW.status, sale_start_date = NEW.sale_start_date,
        version = version + ((OLD.title, OLD.artist_name, OLD.venue, OLD.address, OLD.event_date)
            IS DISTINCT FROM (NEW.title, NEW.artist_name, NEW.venue, NEW.address, NEW.event_date))::integer
    WHERE event_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER event_noted_for_search AFTER UPDATE ON events FOR EACH ROW
WHEN ((OLD.status, OLD.sale_start_date, OLD.title, OLD.artist_name, OLD.venue, OLD.address, OLD.event_date)
    IS DISTINCT FROM (NEW.status, NEW.sale_start_date, NEW.title, NEW.artist_name, NEW.venue, NEW.address, NEW.event_date))
EXECUTE FUNCTION note_event_for_search();

CREATE FUNCTION note_keyword_for_search() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO search_keyword_changes (korean, english) VALUES (OLD.korean, OLD.english);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO search_keyword_changes (korean, english) VALUES (NEW.korean, NEW.english);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keyword_noted_for_search AFTER INSERT OR UPDATE OF korean, english OR DELETE ON keyword_mappings
FOR EACH ROW EXECUTE FUNCTION note_keyword_for_search();
"""
BACK = """
DROP TRIGGER keyword_noted_for_search ON keyword_mappings;
DROP TRIGGER event_noted_for_search ON events;
DROP TRIGGER event_added_to_search ON events;
DROP FUNCTION note_keyword_for_search();
DROP FUNCTION note_event_for_search();
DROP FUNCTION add_event_to_search();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0006_has_waitlist"),
    ]

    operations = [
        TrigramExtension(),
        CreateExtension("intarray"),
        migrations.CreateModel(
            name="KeywordChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("korean", models.TextField()),
                ("english", models.TextField()),
            ],
            options={
                "db_table": "search_keyword_changes",
            },
        ),
        migrations.CreateModel(
            name="EventSearch",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="search",
                        serialize=False,
                        to="events.event",
                    ),
                ),
                ("status", models.CharField(max_length=20)),
                ("sale_start_date", models.DateTimeField()),
                ("version", models.BigIntegerField(db_default=1)),
                ("indexed_version", models.BigIntegerField(db_default=0)),
                ("title", models.TextField(db_collation="C", db_default="")),
                (
                    "postings",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), db_default=[], size=None
                    ),
                ),
                (
                    "standing",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Case(
                            models.When(status="on_sale", then=0), models.When(status="upcoming", then=1), default=2
                        ),
                        output_field=models.SmallIntegerField(),
                    ),
                ),
            ],
            options={
                "db_table": "event_search",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["postings"],
                        opclasses=["gin__int_ops"],
                        name="event_search_by_postings",
                        fastupdate=True,
                        gin_pending_list_limit=256,
                    ),
                    models.Index(fields=["title"], name="event_search_by_title"),
                    models.Index(
                        models.F("event"),
                        condition=models.Q(("version__gt", models.F("indexed_version"))),
                        name="event_search_out_of_date",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FruitlessSearch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(verbose_name="day")),
                ("text", models.CharField(max_length=64, verbose_name="search text")),
                ("times", models.IntegerField(db_default=1, verbose_name="times")),
            ],
            options={
                "verbose_name": "search that found nothing",
                "verbose_name_plural": "searches that found nothing",
                "db_table": "search_fruitless",
                "constraints": [models.UniqueConstraint(fields=("day", "text"), name="fruitless_search_once_a_day")],
            },
        ),
        migrations.CreateModel(
            name="SearchTerm",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text", models.TextField(db_collation="C")),
                ("is_phrase", models.BooleanField()),
                ("keys", models.TextField(db_collation="C")),
                ("initials", models.TextField(db_collation="C")),
                ("sound", models.TextField(db_collation="C")),
            ],
            options={
                "db_table": "search_terms",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        condition=models.Q(("is_phrase", False)),
                        fields=["keys", "initials", "sound"],
                        opclasses=["gin_trgm_ops", "gin_trgm_ops", "gin_trgm_ops"],
                        name="search_words_by_trigrams",
                        fastupdate=False,
                    ),
                    django.contrib.postgres.indexes.GinIndex(
                        condition=models.Q(("is_phrase", True)),
                        fields=["keys", "initials", "sound"],
                        opclasses=["gin_trgm_ops", "gin_trgm_ops", "gin_trgm_ops"],
                        name="search_phrases_by_trigrams",
                        fastupdate=False,
                    ),
                    models.Index(
                        condition=models.Q(("is_phrase", False)),
                        fields=["keys"],
                        include=["id", "text", "initials", "sound"],
                        name="search_words_by_keys",
                    ),
                    models.Index(fields=["sound"], name="search_terms_by_sound"),
                ],
                "constraints": [models.UniqueConstraint(fields=("text",), name="search_term_once")],
            },
        ),
        migrations.RunSQL(TRIGGERS, BACK),
        migrations.RemoveIndex("event", "events_by_bigrams"),
        # The column stays until no process of the version before reads it any more.
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("event", "search_text")]),
    ]
