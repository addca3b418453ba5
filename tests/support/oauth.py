"""An Auth Service that people sign in at: it speaks docs/auth.md, and verifies what it has issued."""

import base64
import hashlib
import http.server
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support.harness import new_user
from tests.support.http_server import serving_http

TOKEN_SECONDS = 3600


class OAuthService(http.server.BaseHTTPRequestHandler):
    """`server.codes`, `tokens` and `renewals` are what it has issued, `asked` each path with its form."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The login page: everybody who comes is signed in, and sent back with a code."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        code = secrets.token_urlsafe(12)
        self.server.codes[code] = query
        back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        self.send_response(302)
        self.send_header("Location", back)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/auth/verify-token":
            self._answer(*self._verified(json.loads(body)["token"]))
            return
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.server.asked.append((self.path, form))
        if self.path == "/auth/revoke":
            self.server.renewals.pop(form["token"], None)
            self._answer(200, {})
        elif self.path == "/auth/token":
            self._answer(*self._exchanged(form))
        else:
            self._answer(404, {})

    def _exchanged(self, form: dict[str, str]) -> tuple[int, Any]:
        if form["grant_type"] == "authorization_code":
            begun = self.server.codes.pop(form["code"], None)  # once
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
            if (
                begun is None
                or begun["code_challenge"] != challenge.decode()
                or begun["redirect_uri"] != form["redirect_uri"]
            ):
                return 400, {"error": "invalid_grant"}
            return self._issued(new_user())
        user = self.server.renewals.pop(form.get("refresh_token", ""), None)  # once
        return self._issued(user) if user else (400, {"error": "invalid_grant"})

    def _issued(self, user: str) -> tuple[int, Any]:
        access, renewal = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.server.tokens[access] = user
        self.server.renewals[renewal] = user
        return 200, {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "refresh_token": renewal,
        }

    def _verified(self, token: str) -> tuple[int, Any]:
        if (user := self.server.tokens.get(token)) is None:
            return 401, {"valid": False}
        return 200, {
            "valid": True,
            "user": {"userId": user, "email": "minji@example.com", "name": "민지", "role": "user"},
        }

    def _answer(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving_oauth() -> Iterator[Any]:
    with serving_http(OAuthService, codes={}, tokens={}, renewals={}, asked=[]) as server:
        server.base = f"http://127.0.0.1:{server.server_port}"
        yield server
