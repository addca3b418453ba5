"""/health*, as part of the REST API. `realtime` gives the same answers without DRF: see `ticketservice.realtime_urls`."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ticketservice import health


class Alive(APIView):
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        status, said = health.alive()
        return Response(said, status=status)


class Component(APIView):
    components: tuple[str, ...] = ()

    def get(self, request: Request) -> Response:  # noqa: ARG002
        status, said = health.works(*self.components)
        return Response(said, status=status)


class Ready(APIView):
    def get(self, request: Request) -> Response:  # noqa: ARG002
        status, said = health.ready()
        return Response(said, status=status)
