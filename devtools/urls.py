"""Pages for development, below /dev/. Only with DEBUG."""

from django.urls import path

from devtools.mailbox import mailbox

urlpatterns = [path("mail", mailbox, name="mailbox")]
