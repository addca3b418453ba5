"""`realtime`: WebSockets, on an ASGI server. `runserver` serves HTTP here, too."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

from kernel.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([])})
