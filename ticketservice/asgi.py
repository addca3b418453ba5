"""`realtime`: WebSockets, on an ASGI server. `runserver` serves HTTP here, too."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([])})
