"""`web`: REST, admin and metrics, on a WSGI server with threads."""

import os

from django.core.wsgi import get_wsgi_application

from kernel.remembering import Remembering

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
application = Remembering(get_wsgi_application())
