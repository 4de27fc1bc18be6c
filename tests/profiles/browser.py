"""A browser and the person at it, as the certification programme drives them: follows every redirect, fills in every
page, and stops where it leaves the provider."""

import itertools
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from werkzeug.test import Client, TestResponse

from tests.person import Form, Page
from tests.profiles.front import Front

MOST_STEPS = 12
BUTTONS = ("sign-in", "allow", "confirm-logout")
"""What a willing person presses, in this order of preference."""

_NETWORKS = itertools.count()
"""Browsers are in different places, and limits count by place."""


@dataclass(frozen=True)
class Arrival:
    """What a relying party receives: how, where, and which parameters in which place."""

    method: str
    uri: str
    """Without the parameters that were added to its query."""
    query: dict[str, str]
    body: dict[str, str]
    fragment: str = ""
    content_type: str | None = None


@dataclass
class Visit:
    """How far the browser came."""

    response: TestResponse
    page: Page
    arrival: Arrival | None = None
    """None: it ended on a page of the provider."""
    pressed: list[str] = field(default_factory=list)

    @property
    def was_asked_to_sign_in(self) -> bool:
        """Whether the person had to show who they are."""
        return "sign-in" in self.pressed


class Browser:
    """Cookies, and somebody who can sign in."""

    def __init__(self, front: Front, username: str, password: str) -> None:
        self.client = Client(front.wsgi_app)
        self.address = f"198.18.{next(_NETWORKS) % 256}.7"
        self.origin = front.origin
        self.username, self.password = username, password

    def open(
        self,
        url: str,
        parameters: dict[str, Any] | None = None,
        *,
        post: bool = False,
        press: tuple[str, ...] = BUTTONS,
    ) -> Visit:
        """Go to `url` and do what the pages ask, pressing only the buttons in `press`."""
        if post:
            at, response = url, self._fetch("POST", url, parameters or {})
        else:
            at = url + ("?" + urlencode(parameters) if parameters else "")
            response = self._fetch("GET", at)
        pressed: list[str] = []
        for _ in range(MOST_STEPS):
            page = Page(at, response.text)
            visit = Visit(response, page, pressed=pressed)
            target = self._sent_to(at, response, page)
            if target is not None and not self._is_ours(target):
                visit.arrival = _by_get(target)
                return visit
            if target is not None:
                at, response = target, self._fetch("GET", target)
                continue
            if posted := next((f for f in page.forms if not self._is_ours(f.action)), None):
                visit.arrival = _by_post(response, posted)
                return visit
            button = next((b for b in press if page.form_with(b)), None)
            if button is None:
                return visit
            form = page.form_with(button)
            assert form is not None
            if button == "sign-in":
                form.fields |= {"username": self.username, "password": self.password}
            name, value = form.buttons.get(button, ("", ""))
            pressed.append(button)
            at = form.action
            response = self._fetch("POST", at, form.fields | ({name: value} if name else {}))
        raise AssertionError(f"went in circles, pressing {pressed}")

    def _fetch(self, method: str, url: str, form: dict[str, Any] | None = None) -> TestResponse:
        parts = urlsplit(url)
        return self.client.open(
            parts.path,
            method=method,
            base_url=self.origin,
            query_string=parts.query,
            data=urlencode(form) if form is not None else None,
            content_type="application/x-www-form-urlencoded" if form is not None else None,
            environ_base={"REMOTE_ADDR": self.address},
            buffered=True,
        )

    def _sent_to(self, at: str, response: TestResponse, page: Page) -> str | None:
        if "Location" in response.headers:
            assert response.status_code in (302, 303), response.status
            return urljoin(at, response.headers["Location"])
        return page.refresh or None

    def _is_ours(self, url: str) -> bool:
        return url == self.origin or url.startswith(self.origin + "/")


def _by_get(target: str) -> Arrival:
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    assert len(dict(pairs)) == len(pairs), f"a parameter is given twice in {target}"
    return Arrival("GET", parts._replace(query="", fragment="").geturl(), dict(pairs), {}, parts.fragment)


def _by_post(page: TestResponse, form: Form) -> Arrival:
    """The form posts itself: by a script the page's own policy allows, or by a press of its button."""
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert form.method == "post"
    assert "continue" in form.buttons
    assert "form_post.js" in page.text
    parts = urlsplit(form.action)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert f"form-action {parts.scheme}://{parts.netloc};" in policy
    return Arrival(
        "POST",
        parts._replace(query="", fragment="").geturl(),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        form.fields,
        parts.fragment,
        "application/x-www-form-urlencoded",
    )
