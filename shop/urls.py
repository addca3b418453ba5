"""The paths of the shop below /shop/. Its API, /shop/api/, is `shop.gate`; its socket is `shop.sockets`."""

from django.conf import settings
from django.urls import path

from shop import demo_views, session_views, views

urlpatterns = [
    path("events/<uuid:event>", views.event, name="shop-event"),
    path("events/<uuid:event>/queue", views.queue, name="shop-queue"),
    path("events/<uuid:event>/seats", views.seats, name="shop-seats"),
    path("events/<uuid:event>/tickets", views.standing, name="shop-standing"),
    path("reservations/<uuid:reservation>", views.reservation, name="shop-reservation"),
    path("reservations/<uuid:reservation>/confirm", session_views.confirm_free, name="shop-confirm-free"),
    path("tickets", views.my_tickets, name="shop-tickets"),
    path("session", session_views.session, name="shop-session"),
    path("session/login", session_views.login, name="shop-login"),
    path("session/callback", session_views.callback, name="shop-callback"),
    path("session/renew", session_views.renew, name="shop-renew"),
    path("session/logout", session_views.logout, name="shop-logout"),
]

if settings.DEBUG:
    urlpatterns += [
        path("demo/buyers", demo_views.choose_buyer, name="shop-demo-buyers"),
        path("demo/payment", demo_views.payment, name="shop-demo-payment"),
    ]
