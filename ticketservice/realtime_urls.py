"""What `realtime` is asked by HTTP in production: health and metrics. REST and the admin, which take 6 MB, are loaded when
somebody asks for something else, as with `runserver`.
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
