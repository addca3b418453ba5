"""A search keyword that is added, edited or deleted in the admin changes what is found at once, not after the cache."""

from django.test import Client

from tests.support.admin_pages import open_form
from tests.support.harness import HALL, Api, Database

KEYWORDS = "/admin/events/keywordmapping/"


def test_a_search_that_is_cached_finds_what_a_keyword_says_at_once(web: Api, world: Database) -> None:
    from django.contrib.auth.models import User

    from events.models import KeywordMapping

    user, _ = User.objects.get_or_create(username="root", defaults={"is_staff": True, "is_superuser": True})
    admin = Client()
    admin.force_login(user)

    def finds(search: str) -> bool:
        return HALL in [event["id"] for event in web.get(f"/events?q={search}&limit=100").json["events"]]

    world.rows("UPDATE events SET title = '달빛정원' WHERE id = %s", HALL)
    assert not finds("moonlit")  # and is cached
    assert not finds("garden")
    entered = {"korean": "달빛정원", "english": "moonlit", "entity_type": "artist"}
    assert admin.post(f"{KEYWORDS}add/", entered).status_code == 302
    assert finds("moonlit")
    keyword = KeywordMapping.objects.get(english="moonlit")
    page = f"{KEYWORDS}{keyword.pk}/change/"
    assert admin.post(page, open_form(admin, page) | {"english": "garden"}).status_code == 302
    assert (finds("moonlit"), finds("garden")) == (False, True)
    assert admin.post(f"{KEYWORDS}{keyword.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not finds("garden")
    assert admin.post(f"{KEYWORDS}add/", entered).status_code == 302
    assert finds("moonlit")
    chosen = [str(key) for key in KeywordMapping.objects.filter(english="moonlit").values_list("pk", flat=True)]
    admin.post(KEYWORDS, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert not finds("moonlit")
