"""`manage.py issue_token`: a bearer token for development and tests, signed with JWT_SECRET."""

import time
import uuid
from argparse import ArgumentParser
from typing import Any

import jwt
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Prints a token that this service accepts. Only where tokens are verified locally with JWT_SECRET."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--role", choices=["user", "admin"], default="user")
        parser.add_argument("--user-id", type=uuid.UUID, help="a UUID; random if not given")
        parser.add_argument("--email", default="")
        parser.add_argument("--name", default="")
        parser.add_argument("--days", type=int, default=30, help="how long it is valid")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        if settings.AUTH_SERVICE_URL or not settings.JWT_SECRET:
            raise CommandError("Tokens are not verified with JWT_SECRET here; ask whoever issues them.")
        now = int(time.time())
        claims = {
            "userId": str(options["user_id"] or uuid.uuid4()),
            "email": options["email"] or f"{options['role']}@example.com",
            "name": options["name"] or options["role"],
            "role": options["role"],
            "iat": now,
            "exp": now + options["days"] * 86_400,
        }
        self.stdout.write(jwt.encode(claims, settings.JWT_SECRET, algorithm="HS256"))
