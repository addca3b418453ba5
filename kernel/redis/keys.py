"""Keys."""

from django.conf import settings

from kernel.redis.connection import client as client


def tagged_key(template: str, event_id: object, *rest: object) -> str:
    """`queue:{event_id}` and the like: the id goes in the first place of the template, with a hash tag if so set.

    With REDIS_HASH_TAGS all keys of an event live in one slot of a Redis Cluster.
    """
    tagged = f"{{{event_id}}}" if settings.REDIS_HASH_TAGS else str(event_id)
    return template.format(tagged, *rest)
