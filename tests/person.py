"""A person at a browser without JavaScript: follows links and redirects, fills in the hosted pages' forms."""

import re
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from tests.authenticator_app import AuthenticatorApp

MOST_STEPS = 25


@dataclass
class Form:
    """A form of a page: where it goes, what it already holds, its buttons by id."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """The forms of a page, where it leads by itself, and its text."""

    def __init__(self, url: str, html: str) -> None:
        super().__init__()
        self.url, self.html = url, html
        self.forms: list[Form] = []
        self.refresh = ""
        self.feed(html)

    @property
    def link_to_app(self) -> str:
        """Where the page leads that adds an authenticator app, on the page that lets one choose."""
        found = re.search(r'id="way-totp" href="([^"]+)"', self.html)
        return urljoin(self.url, unescape(found[1])) if found and not self.form_with("code") else ""

    @property
    def asks_for_second_factor(self) -> bool:
        """Whether it is one of the pages about second factors."""
        steps = {form.fields.get("step") for form in self.forms}
        return bool(steps & {"factor", "enrol", "recovery-codes"} or self.link_to_app)

    def form_with(self, name: str) -> Form | None:
        """The form that has a field or a button of this name or id."""
        return next((form for form in self.forms if name in form.fields or name in form.buttons), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what is needed."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = urljoin(self.url, given.get("action", ""))
            self.forms.append(Form(action, given.get("method", "get").lower()))
        elif tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.refresh = _refresh_target(self.url, given.get("content", ""))
        elif self.forms and tag == "button":
            self.forms[-1].buttons[given.get("id", "")] = (given.get("name", ""), given.get("value", ""))
        elif self.forms and tag == "input":
            if given.get("type") == "checkbox" and "checked" not in given:
                return
            self.forms[-1].fields[given.get("name", "")] = given.get("value", "")


def _refresh_target(base: str, content: str) -> str:
    found = re.search(r"url\s*=\s*['\"]?([^'\"]+)", content, re.IGNORECASE)
    return urljoin(base, found[1]) if found else ""


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


class PageFailure(AssertionError):
    """A page answered with a status that says the server failed."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"{response.status_code} at {response.url}:\n{response.text[:2000]}")
        self.status = response.status_code


class Person:
    """Somebody with an account, a password and a cookie jar."""

    def __init__(self, username: str, password: str, *, verify: bool | str = True) -> None:
        self.username, self.password = username, password
        self.session = requests.Session()
        self.session.verify = verify
        self.app = AuthenticatorApp()
        self.visited: list[str] = []

    def walk(self, url: str, until: str) -> str:
        """Go to `url` and do what the pages ask, until the browser is sent to an address that starts with `until`.

        Returns that address, which is not fetched.
        """
        response = self._fetch("get", url)
        for _ in range(MOST_STEPS):
            page = Page(response.url, response.text)
            target = self._sent_to(response, page)
            if target.startswith(until):
                return target
            if target:
                response = self._fetch("get", target)
                continue
            response = self._answer(response, page)
        raise AssertionError(f"walked in circles: {self.visited}")

    def _sent_to(self, response: requests.Response, page: Page) -> str:
        if response.is_redirect:
            return urljoin(response.url, response.headers["Location"])
        if "Refresh" in response.headers:
            return _refresh_target(response.url, response.headers["Refresh"])
        return page.refresh

    def protect(self, response: requests.Response) -> requests.Response:
        """Where a page asks for a second factor: add an authenticator app, save the codes, and see where that leads."""
        for _ in range(4):
            page = Page(response.url, response.text)
            if not page.asks_for_second_factor:
                break
            response = self._show_second_factor(page)
            while response.is_redirect:
                response = self._fetch("get", urljoin(response.url, response.headers["Location"]))
        return response

    def _show_second_factor(self, page: Page) -> requests.Response:
        if page.link_to_app:
            return self._fetch("get", page.link_to_app)
        form = page.form_with("way")
        if form is not None:
            if form.fields["step"] == "enrol":
                self.app.scan(page.html)
            form.fields["code"] = self.app.code()
            return self._submit(form, "verify")
        form = page.form_with("download")
        assert form is not None
        return self._submit(form, "continue")

    def _answer(self, response: requests.Response, page: Page) -> requests.Response:
        if page.asks_for_second_factor:
            return self._show_second_factor(page)
        if form := page.form_with("password"):
            form.fields |= {"username": self.username, "password": self.password}
            return self._submit(form, "sign-in")
        for button in ("allow", "confirm-logout", "continue"):
            if form := page.form_with(button):
                return self._submit(form, button)
        raise AssertionError(
            f"{response.status_code} at {response.url}: nothing to do here:\n{response.text[:3000]}"
        )

    def _submit(self, form: Form, button: str) -> requests.Response:
        name, value = form.buttons.get(button, ("", ""))
        data = form.fields | ({name: value} if name else {})
        return self._fetch(form.method, form.action, data=data, headers={"Origin": _origin(form.action)})

    def _fetch(self, method: str, url: str, **options: object) -> requests.Response:
        self.visited.append(f"{method} {url}")
        response = self.session.request(method, url, allow_redirects=False, timeout=20, **options)  # type: ignore[arg-type]
        if response.status_code >= 500:
            raise PageFailure(response)
        return response
