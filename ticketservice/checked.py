"""Runs a command in place of this process if the settings are valid: `python -m ticketservice.checked granian ...`.

granian loads the application in its workers only. When they cannot start, their reasons are followed by what granian has to
say about workers that end; here the reason is the last line.
"""

import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured

from kernel.checks import STARTUP, raise_check_errors


def main(command: list[str]) -> None:
    environment = os.environ.copy()
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # or prometheus_client would make files for this process, too
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
    try:
        django.setup()
        raise_check_errors(STARTUP)
    except ImproperlyConfigured as error:
        sys.exit(f"{type(error).__name__}: {error}")
    os.execvpe(command[0], command, environment)  # noqa: S606 - a line of the Procfile


if __name__ == "__main__":
    main(sys.argv[1:])
