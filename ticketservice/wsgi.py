"""`web`: REST, admin and metrics, on a WSGI server with threads."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
application = get_wsgi_application()
