"""The waiting room: for visitors, for administrators, and the draw for everybody."""

import logging
from typing import Any
from uuid import UUID

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from kernel.http.addresses import address_of
from kernel.http.permissions import BearerToken, IsAdministrator, IsAuthenticated, user_of
from kernel.http.rest import body_of, single_parameters
from kernel.http.urls import fast_path
from kernel.wire import parse_id
from queueing import selectors, serializers, services
from queueing.states import Visitor

logger = logging.getLogger(__name__)

EVENT = "(?P<event_id>[^/]+)"
FOR_ALL: dict[str, Any] = {"authentication_classes": [], "permission_classes": []}


def parse_event_id(text: str) -> UUID:
    return parse_id(text, "Invalid event ID format")


def identify_visitor(request: Request, event_id: UUID) -> Visitor:
    return services.identify_visitor(
        event_id=event_id,
        user_id=UUID(user_of(request).user_id),
        pass_=request.META.get("HTTP_QUEUE_PASS", ""),
        ticket=request.META.get("HTTP_QUEUE_TICKET", ""),
    )


def _status(request: Request, event_id: UUID) -> dict[str, Any]:
    return serializers.status(services.get_status(event_id=event_id, visitor=identify_visitor(request, event_id)))


class QueueViewSet(ViewSet):
    authentication_classes = [BearerToken]
    permission_classes = [IsAuthenticated]

    @action(detail=False, methods=["post"], url_path=f"check/{EVENT}")
    @fast_path()
    def check(self, request: Request, event_id: str) -> dict[str, Any]:
        wanted = parse_event_id(event_id)
        response = request.META.get("HTTP_CHALLENGE_RESPONSE", "")
        position = services.check_in(
            event_id=wanted,
            visitor=identify_visitor(request, wanted),
            challenge_response=response,
            address=address_of(request.META) if response else "",
        )
        return serializers.check(position)

    @action(detail=False, url_path=f"status/{EVENT}")
    @fast_path()
    def status(self, request: Request, event_id: str) -> dict[str, Any]:
        return _status(request, parse_event_id(event_id))

    @action(detail=False, methods=["post"], url_path=f"heartbeat/{EVENT}")
    @fast_path()
    def heartbeat(self, request: Request, event_id: str) -> dict[str, Any]:
        return _status(request, parse_event_id(event_id))

    @action(detail=False, methods=["post"], url_path=f"leave/{EVENT}")
    @fast_path()
    def leave(self, request: Request, event_id: str) -> dict[str, Any]:
        services.leave(event_id=parse_event_id(event_id), user_id=UUID(user_of(request).user_id))
        return {"message": "대기열에서 나왔습니다."}

    @action(detail=False, url_path=f"draw/{EVENT}", **FOR_ALL)
    def draw(self, request: Request, event_id: str) -> Response:
        wanted = parse_event_id(event_id)
        with_participants = serializers.wants_participants(single_parameters(request, "participants"))
        return Response(serializers.draw(wanted, selectors.draw_of(wanted), with_participants=with_participants))


class QueueChallengeViewSet(ViewSet):
    authentication_classes = [BearerToken]
    permission_classes = [IsAuthenticated]

    @action(detail=False, url_path=f"challenge/{EVENT}")
    def challenge(self, request: Request, event_id: str) -> Response:
        wanted, user_id = parse_event_id(event_id), UUID(user_of(request).user_id)
        return Response(selectors.challenge_for(event_id=wanted, user_id=user_id))


class QueueAdminViewSet(ViewSet):
    """Changes made here are logged with the administrator; those made in the admin are in its history."""

    authentication_classes = [BearerToken]
    permission_classes = [IsAdministrator]

    @action(detail=False, url_path=EVENT)
    def overview(self, request: Request, event_id: str) -> Response:  # noqa: ARG002 - DRF's signature
        wanted = parse_event_id(event_id)
        return Response(serializers.overview(wanted, services.get_queue_state(event_id=wanted)))

    @action(detail=False, methods=["post"], url_path=f"clear/{EVENT}")
    def clear(self, request: Request, event_id: str) -> Response:
        waiting, active = services.clear_queue(event_id=parse_event_id(event_id))
        _log_action(request, event_id, "cleared", waiting=waiting, active=active)
        return Response({"message": "대기열이 초기화되었습니다.", "clearedQueue": waiting, "clearedActive": active})

    @action(detail=False, methods=["post"], url_path=f"pause/{EVENT}")
    def pause(self, request: Request, event_id: str) -> Response:
        services.change_policy(event_id=parse_event_id(event_id), changes={"is_paused": True})
        _log_action(request, event_id, "paused")
        return Response({"message": "대기열 입장이 일시 중지되었습니다."})

    @action(detail=False, methods=["post"], url_path=f"resume/{EVENT}")
    def resume(self, request: Request, event_id: str) -> Response:
        services.change_policy(event_id=parse_event_id(event_id), changes={"is_paused": False})
        _log_action(request, event_id, "resumed")
        return Response({"message": "대기열 입장이 재개되었습니다."})

    @action(detail=False, methods=["get", "post", "patch"], url_path=f"policy/{EVENT}")
    def policy(self, request: Request, event_id: str) -> Response:
        wanted = parse_event_id(event_id)
        if request.method == "GET":
            return Response(serializers.policy(wanted, selectors.policy_of(wanted)))
        changes = serializers.policy_changes(body_of(request))
        changed = services.change_policy(event_id=wanted, changes=changes)
        _log_action(request, event_id, "policy changed", **changes)
        return Response(serializers.policy(wanted, changed))


def _log_action(request: Request, event_id: str, action_done: str, **facts: Any) -> None:
    facts = {name: str(value) for name, value in facts.items()}
    by = {"event_id": event_id.lower(), "administrator": user_of(request).user_id}
    logger.info("waiting room: %s", action_done, extra={**by, **facts})
