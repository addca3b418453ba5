"""Redis keys that may carry a hash tag."""

from django.conf import settings


def tagged_key(template: str, tag: object, *rest: object) -> str:
    """Fill in a template such as `queue:{}`. With REDIS_HASH_TAGS its first value becomes a hash tag: `queue:{id}`.

    Keys with the same hash tag live in one slot of a Redis Cluster, so that one script may use them together.
    """
    hash_tag = f"{{{tag}}}" if settings.REDIS_HASH_TAGS else str(tag)
    return template.format(hash_tag, *rest)
