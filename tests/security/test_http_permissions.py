"""Who may call what: every route × anonymous, user, staff, superuser, against the real server.

A new endpoint fails here until it is in the table.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import URLResolver, get_resolver

from tests.integration.stack import Stack, make_token
from tests.security.pages import Answer, Browser

ROLES = ("anonymous", "user", "staff", "superuser")


@dataclass(frozen=True)
class Access:
    """Who may: from this role upwards; ``method`` is what the endpoint is for."""

    lowest: str | None
    method: str = "GET"

    def allows(self, role: str) -> bool:
        return self.lowest is not None and ROLES.index(role) >= ROLES.index(self.lowest)


EVERYBODY, USER, STAFF = Access("anonymous"), Access("user"), Access("staff")
PERMITTED = Access("superuser")
"""Needs a permission of its own, which a superuser has and a mere member of staff has not."""
NOBODY = Access(None)


def posted(access: Access) -> Access:
    return Access(access.lowest, "POST")


def model(name: str, *, add: Access = PERMITTED, delete: Access = PERMITTED) -> dict[str, Access]:
    """Return the admin's own pages of a model.

    For the history of what is not there, Django says so before it asks for the permission.
    """
    one = f"admin/{name}/<path:object_id>/"
    return {
        f"admin/{name}/": PERMITTED,
        f"admin/{name}/add/": add,
        f"{one}history/": STAFF,
        f"{one}delete/": delete,
        f"{one}change/": PERMITTED,
        one: STAFF,  # sent on to change/
    }


TABLE: dict[str, Access] = {
    "": EVERYBODY,
    "favicon.ico": EVERYBODY,
    "i18n/setlang/": posted(EVERYBODY),
    "healthz": EVERYBODY,
    "readyz": EVERYBODY,
    "metrics": EVERYBODY,
    "ws/stats": EVERYBODY,
    "ws/online-users": USER,
    "api/schema/": EVERYBODY,
    "api/docs/": EVERYBODY,
    "api/protocol/": EVERYBODY,
    "api/protocol/asyncapi.json": EVERYBODY,
    "api/v1/auth/token/": posted(EVERYBODY),
    "api/v1/auth/refresh/": posted(EVERYBODY),
    "api/v1/auth/logout/": posted(EVERYBODY),
    "api/v1/notifications/": USER,
    "api/v1/notifications/unread-count/": USER,
    "api/v1/notifications/read/": posted(USER),
    "api/v1/notifications/read-all/": posted(USER),
    "api/v1/notifications/delete/": posted(USER),
    "api/v1/notifications/send/user/": posted(STAFF),
    "api/v1/notifications/send/room/": posted(STAFF),
    "api/v1/notifications/send/all/": posted(STAFF),
    "api/v1/notifications/data-update/": posted(STAFF),
    "api/v1/notifications/<str:message_id>/": USER,
    "api/v1/notifications/<str:message_id>/read/": posted(USER),
    "api/v1/realtime/nodes/": STAFF,
    "api/v1/realtime/connections/": STAFF,
    "api/v1/realtime/rooms/": STAFF,
    "api/v1/realtime/members/": STAFF,
    "api/v1/realtime/disconnect/": posted(STAFF),
    "api/v1/realtime/publish/": posted(STAFF),
    "api/v1/realtime/bridges/": STAFF,
    "api/v1/realtime/dead-letters/": STAFF,
    "admin/": STAFF,
    "admin/login/": EVERYBODY,
    "admin/logout/": EVERYBODY,
    "admin/password_change/": STAFF,
    "admin/password_change/done/": STAFF,
    "admin/autocomplete/": NOBODY,  # without naming a field
    "admin/jsi18n/": STAFF,
    "admin/r/<path:content_type_id>/<path:object_id>/": STAFF,
    "admin/^(?P<app_label>auth|token_blacklist|axes|realtime|notifications|worker)/$": STAFF,
    "admin/(?P<url>.*)$": STAFF,
    **model("auth/group"),
    **model("auth/user"),
    "admin/auth/user/<id>/password/": PERMITTED,
    **model("token_blacklist/outstandingtoken", add=NOBODY, delete=NOBODY),
    **model("token_blacklist/blacklistedtoken"),
    **model("axes/accessattempt", add=NOBODY),
    **model("axes/accesslog", add=NOBODY),
    **model("axes/accessfailurelog", add=NOBODY),
    **model("realtime/gateway", add=NOBODY, delete=NOBODY),
    "admin/realtime/gateway/disconnect/": posted(PERMITTED),
    "admin/realtime/gateway/state/": PERMITTED,
    "admin/realtime/gateway/token/": posted(PERMITTED),
    "admin/realtime/gateway/connections/": PERMITTED,
    "admin/realtime/gateway/rooms/": PERMITTED,
    "admin/realtime/gateway/publish/": PERMITTED,
    "admin/realtime/gateway/trace/": PERMITTED,
    "admin/realtime/gateway/trace/start/": posted(PERMITTED),
    "admin/realtime/gateway/trace/stop/": posted(PERMITTED),
    "admin/realtime/gateway/settings/": PERMITTED,
    "admin/realtime/deadletterbox/": PERMITTED,
    "admin/realtime/deadletterbox/<str:letter_id>/": PERMITTED,
    "admin/realtime/deadletterbox/<str:letter_id>/<str:action>/": posted(PERMITTED),
    **model("realtime/auditevent", add=NOBODY, delete=NOBODY),
    **model("notifications/storedmessage", add=NOBODY),
    **model("notifications/outboxmessage", add=NOBODY),
    **model("worker/job", add=NOBODY),
}

SAMPLES = {
    "letter_id": "1-1",
    "action": "drop",
    "app_label": "auth",
    "url": "nothing",
    "message_id": "none",
    "object_id": "999999999",
}


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def path_of(route: str) -> str:
    """Put something into the places of a route."""
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route).replace("^", "").replace("$", "")
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: SAMPLES.get(found[1], "1"), plain)


def test_the_table_has_every_route_and_no_other() -> None:
    assert set(routes(get_resolver().url_patterns)) == set(TABLE)


class People:
    """One of each role, with a token and a session."""

    def __init__(self, stack: Stack) -> None:
        self.mark = uuid.uuid4().hex[:8]
        self.stack = stack
        code = "from django.contrib.auth.models import User\n" + "\n".join(
            f"print(User.objects.create_user('{role}-{self.mark}', password='pass word {self.mark}', "
            f"is_staff={role in ('staff', 'superuser')}, is_superuser={role == 'superuser'}).pk)"
            for role in ROLES[1:]
        )
        ids = stack.manage("shell", "--no-imports", "-c", code).split()
        self.ids = dict(zip(ROLES[1:], ids, strict=True))
        self.sessions = {role: self._session(role) for role in ROLES}

    def _session(self, role: str) -> Browser:
        browser = Browser(self.stack.gateway.port)
        if role in ("staff", "superuser"):
            assert browser.log_in(f"{role}-{self.mark}", f"pass word {self.mark}").status == 302
        elif role == "user":  # the admin's form lets no users in
            code = (
                "from importlib import import_module; from django.conf import settings;"
                "from django.contrib.auth.models import User;"
                f"user = User.objects.get(pk={self.ids[role]});"
                "store = import_module(settings.SESSION_ENGINE).SessionStore();"
                "store['_auth_user_id'] = str(user.pk);"
                "store['_auth_user_backend'] = 'django.contrib.auth.backends.ModelBackend';"
                "store['_auth_user_hash'] = user.get_session_auth_hash(); store.save(); print(store.session_key)"
            )
            browser.cookies["sessionid"] = self.stack.manage("shell", "--no-imports", "-c", code).strip()
        browser.get("/")
        return browser

    def ask(self, role: str, method: str, path: str) -> Answer:
        if path.startswith(("/admin/", "/i18n/")):
            browser = self.sessions[role]
            headers = {"X-CSRFToken": browser.cookies["csrftoken"]}
            return browser.ask(method, path, b"" if method == "POST" else None, headers)
        headers = {"Content-Type": "application/json"}
        if role != "anonymous":
            token = make_token(self.ids[role], is_staff=role in ("staff", "superuser"))
            headers["Authorization"] = f"Bearer {token}"
        return Browser(self.stack.gateway.port).ask(method, path, b"{}" if method == "POST" else None, headers)


@pytest.fixture(scope="module")
def people(stack: Stack) -> People:
    return People(stack)


def refused(answer: Answer) -> bool:
    to_login = answer.status == 302 and "/login/" in answer.headers["Location"]
    return answer.status in (401, 403) or to_login


@pytest.mark.parametrize("route", TABLE)
def test_each_role_may_what_the_table_says(people: People, route: str) -> None:
    access = TABLE[route]
    # Wrong credentials are a 401 for everybody; a body without any is a 400.
    answers = {role: people.ask(role, access.method, path_of(route)) for role in ROLES}
    assert {role: not refused(answer) for role, answer in answers.items()} == {
        role: access.allows(role) for role in ROLES
    }, {role: (answer.status, answer.body[:200]) for role, answer in answers.items()}
    assert all(answer.status < 500 for answer in answers.values())
