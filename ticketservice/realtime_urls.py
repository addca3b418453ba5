"""URLs of `realtime`: health and metrics. Other paths load `ticketservice.urls`, which `runserver` needs.

REST and the admin take 6 MB of a process. They are imported only if another path is requested.
"""

from django.urls import URLResolver, include, path, re_path
from django.urls.resolvers import RegexPattern

from kernel.http import problems
from kernel.http.metrics import metrics
from ticketservice import health

probes = [*health.urlpatterns, re_path("^metrics/?$", metrics)]
urlpatterns = [*probes, path("api/", include(probes)), URLResolver(RegexPattern(""), "ticketservice.urls")]

handler400 = problems.bad_request
handler404 = problems.not_found
handler500 = problems.server_error
