"""Search keywords, with a box that tries a search; and the searches that found nothing."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from events.effects import keywords_were_changed
from events.models import Event, FruitlessSearch, KeywordMapping
from events.search.explaining import MAX_SHOWN, explain
from events.search.finding import Rank
from events.selectors import MAX_CACHED_SEARCH, index_what_others_changed
from kernel.backoffice.actions import ObjectActionAdmin
from kernel.backoffice.forms import ReasonMixin
from kernel.db.sql import after_commit

RANKS = {
    Rank.EXACT: _("exactly the title or the artist"),
    Rank.NAMED: _("one of several artists, or the name in another spelling"),
    Rank.PREFIX: _("the beginning of a title or artist"),
    Rank.WORD: _("whole words of title and artist"),
    Rank.PLACE: _("whole words, also of venue and address"),
    Rank.CONTAINED: _("parts of words"),
    Rank.MAPPED: _("by keywords, abbreviations or the date"),
    Rank.PARTIAL: _("similar: the name, but not this kind of event"),
    Rank.SIMILAR: _("similar: mistyped, another keyboard, or it sounds alike"),
}


@admin.register(KeywordMapping)
class KeywordMappingAdmin(ObjectActionAdmin):
    form = ReasonMixin
    fields = ("korean", "english", "entity_type", "reason")
    list_display = ("korean", "english", "entity_type")
    list_filter = ("entity_type",)
    search_fields = ("korean", "english")
    change_list_template = "events/keyword_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/", view, name="events_keywordmapping_try"), *super().get_urls()]

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """What a search finds, why, and in which order."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.GET.get("q", "").strip()[:MAX_CACHED_SEARCH]
        context = {**self.admin_site.each_context(request), "title": gettext("Try a search"), "opts": self.opts}
        if text:
            index_what_others_changed()
            explanation = explain(text)
            events = Event.objects.in_bulk([hit.event_id for hit in explanation.hits])
            hits = [(events[hit.event_id], RANKS[hit.rank], hit) for hit in explanation.hits if hit.event_id in events]
            context |= {"text": text, "explanation": explanation, "hits": hits, "most": MAX_SHOWN}
        return render(request, "events/try_search.html", context)

    def save_model(self, request: HttpRequest, obj: KeywordMapping, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        after_commit(keywords_were_changed)

    def delete_model(self, request: HttpRequest, obj: KeywordMapping) -> None:
        super().delete_model(request, obj)
        after_commit(keywords_were_changed)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        super().delete_queryset(request, queryset)
        after_commit(keywords_were_changed)


@admin.register(FruitlessSearch)
class FruitlessSearchAdmin(ObjectActionAdmin):
    """Read only: what is missing among the keywords, or in the program."""

    list_display = ("day", "text", "times", "what_to_do")
    list_filter = ("day",)
    search_fields = ("text",)
    ordering = ("-day", "-times", "text")
    list_display_links = None

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="")
    def what_to_do(self, search: FruitlessSearch) -> SafeString:
        tried = f"{reverse('admin:events_keywordmapping_try')}?{urlencode({'q': search.text})}"
        added = f"{reverse('admin:events_keywordmapping_add')}?{urlencode({'korean': search.text})}"
        return format_html('<a href="{}">{}</a> · <a href="{}">{}</a>', tried, _("try"), added, _("add a keyword"))
