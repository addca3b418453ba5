"""Start PostgreSQL and Redis for this checkout and print how to reach them.

    eval "$(python manage.py embedded)"

Only the exports go to stdout. The servers keep running until `manage.py embedded --stop`.
"""

import os
import shlex
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devtools.embedded import EmbeddedServerError, Servers, development_environment

URLS = ("DATABASE_URL", "REDIS_URL")


class Command(BaseCommand):
    help = "Start PostgreSQL and Redis for development and print the environment to use them."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--stop", action="store_true", help="stop both servers")

    def handle(self, *, stop: bool, **_: Any) -> None:
        servers = Servers()
        try:
            if stop:
                servers.stop(everything=True)
            else:
                self._start(servers)
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _start(self, servers: Servers) -> None:
        self.stderr.write(f"PostgreSQL and Redis in {servers.directory} ...", self.style.NOTICE)
        urls = servers.start_needed(os.environ)
        exports = development_environment()
        exports |= {name: os.environ[name] for name in (*URLS, *exports) if os.environ.get(name)}
        for name, value in (exports | urls).items():
            self.stdout.write(f"export {name}={shlex.quote(value)}")
