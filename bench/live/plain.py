"""The plain way: a Channels consumer for each socket, in a group of the pub/sub layer, as its documentation shows it."""

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter
from django.conf import settings

LAYER = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [os.environ["REDIS_URL"]]}}
GROUP = "viewers"

if not settings.configured:
    settings.configure(CHANNEL_LAYERS={"default": LAYER})


class ViewerConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels' signature
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def change(self, event: dict[str, Any]) -> None:
        await self.send_json(event["message"])


async def broadcast(message: dict[str, Any]) -> None:
    await get_channel_layer().group_send(GROUP, {"type": "change", "message": message})


application = ProtocolTypeRouter({"websocket": ViewerConsumer.as_asgi()})
