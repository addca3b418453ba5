"""GET /internal/events: the feed."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from kernel.http.permissions import MayReadEvents
from outbox import serializers, services


class FeedViewSet(ViewSet):
    permission_classes = [MayReadEvents]

    def list(self, request: Request) -> Response:
        return Response(serializers.feed(services.read_feed(**serializers.wanted_messages(request))))
