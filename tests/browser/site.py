"""A whole deployment with a demo tenant, served from a thread: what the browser tests and the screenshots look at."""

import dataclasses
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import requests
from flask.signals import template_rendered
from sqlalchemy import delete
from werkzeug.serving import make_server

from app import create_app, wiring
from app.domain import (
    admin_links,
    branding,
    clients,
    consents,
    first_start,
    grants,
    lasting_grants,
    one_time_links,
    tenants,
    users,
)
from app.domain.consents import ISSUER
from app.domain.models import Group, MailboxMessage, Resource, ResourceScope, UserGroup
from app.domain.tenants import TenantContext
from app.infra import migrations
from app.infra.state import Delete, Key
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.kernel.settings import Settings
from app.web.services import Services
from tests.conftest import new_master_key

PASSWORD = "correct-horse-battery"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWJhpJk5nZ3Fs"
API = "https://api.example.com"
PAYMENTS = "https://payments.example.com"

_TELEPHONES = (
    "Northwind/7 (Android 16; Pixel 11)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
)

_LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 32"><rect width="120" height="32" rx="16" fill="%s"/>'
    '<circle cx="16" cy="16" r="8" fill="%s"/><rect x="34" y="12" width="72" height="8" rx="4" fill="%s"/></svg>'
)
LOUD: dict[str, Any] = {
    "name": "Loud & Clear",
    "logo": _LOGO % ("#c2185b", "#ffffff", "#ffffff"),
    "logo_dark": _LOGO % ("#f48fb1", "#1a1e21", "#1a1e21"),
    "show_name": False,
    "colours": {"brand": "#c2185b"},
    "radius": 22,
    "font": "rounded",
    "texts": {
        "title": {"en": "Welcome back", "ar": "مرحبًا بعودتك", "de": "Willkommen zurück"},
        "intro": {"en": "One account for everything we make.", "ar": "حساب واحد لكل ما نصنعه."},
    },
    "links": [{"text": {"en": "Help", "ar": "المساعدة"}, "uri": "https://loud.example/help"}],
    "legal": {"imprint": "https://loud.example/imprint", "privacy": "https://loud.example/privacy"},
}
OWN_MARKUP: dict[str, Any] = {
    "colours": {"brand": "#1b5e20"},
    "header_html": '<p class="x-banner"><strong>{{ tenant }}</strong>, '
    '{% if language == "ar" %}للموظفين{% else %}for employees{% endif %}</p>',
    "footer_html": '<p class="x-note">Made in <a href="https://own.example">our own workshop</a></p>',
    "css": ".x-banner { background: #1b5e20; color: #fff; padding: 1rem; text-align: center; border-radius: 8px } "
    ".x-note { text-align: center; padding: 1rem }  .card { border-radius: 0 }",
}

_MAIL = (
    (
        "Confirm your e-mail address",
        "Hello Alice,\n\nopen this link to confirm your address:\n\nhttp://localhost:8000/confirm/4f1c",
    ),
    (
        "A new sign-in",
        "Hello Alice,\n\nyou signed in from Chromium on Linux.\nIf it was not you, change your password.",
    ),
)

_PEOPLE: dict[str, Any] = {
    "registration": {"people": "open"},
    "authentication": {
        "require_verified_email": True,
        "methods": ["password", "passkey", "email"],
        "mfa": {"methods": ["passkey", "totp", "sms", "email"]},
    },
    "terms": {
        "version": "2026-05",
        "url": "https://harbour.example.com/terms",
        "text": "How we treat your data, and what we expect of you.",
    },
    "people": {
        "attributes": {
            "name": {"required": True},
            "team": {
                "label": {"en": "Team", "de": "Gruppe", "ar": "الفريق"},
                "choices": ["Harbour master", "Pilots"],
                "required": True,
            },
            "birthdate": {"type": "date"},
            "newsletter": {
                "type": "boolean",
                "label": {"en": "Send me the newsletter", "ar": "أرسل لي النشرة"},
            },
            "about": {"type": "text", "label": {"en": "About you", "ar": "نبذة عنك"}},
            "badge": {"type": "integer", "editable_by": "admin", "label": {"en": "Badge", "ar": "الشارة"}},
        }
    },
}
_HTML = "<!doctype html><html lang=en><title>A message</title><h1>A message</h1>"


@dataclass(frozen=True)
class Demo:
    """What is in the demo tenant."""

    tenant: TenantContext
    callback: str


class Site:
    """A running server, and beside it the application the demo clients' redirect URIs point to.

    On SQLite alone, unless `storage` names the database and Redis as `Settings` does.
    """

    def __init__(self, folder: Path, **storage: str) -> None:
        self.received: list[tuple[str, dict[str, str]]] = []
        """What came to the application: method and parameters."""
        self._application = make_server("127.0.0.1", 0, self._receive, threaded=True)
        self._callback = f"http://127.0.0.1:{self._application.server_port}/cb"
        # The port is known once the socket is bound, and the issuer needs it: bind first.
        self._server = make_server("127.0.0.1", 0, lambda e, s: [], threaded=True)
        self.base_url = f"http://localhost:{self._server.server_port}"
        settings = Settings(
            base_url=self.base_url,
            data_dir=folder,
            master_key=new_master_key(),
            log_level="WARNING",
            # Nothing is sent there: no worker runs.
            sms_url="http://127.0.0.1:9/messages",
            **storage,  # type: ignore[arg-type]
        )
        migrations.upgrade(settings)
        self.services: Services = dataclasses.replace(wiring.build(settings), sign_in_floor_seconds=0.05)
        first_start.ensure_default_tenant(self.services.tenancy, self.services.keyring)
        self.demo = self._populate()
        app = create_app(settings, services=self.services)
        self.rendered: list[frozenset[str]] = []
        """The pages that were shown, newest last: their templates, and the part where a page is made of parts."""
        self.toured: set[str] = set()
        """Those the tour has stopped at."""
        template_rendered.connect(self._note, app)
        self._server.app = app.wsgi_app
        self._threads = [
            threading.Thread(target=server.serve_forever, daemon=True)
            for server in (self._server, self._application)
        ]

    def _note(self, sender: Any, template: Any, context: dict[str, Any], **_: Any) -> None:
        if template.name is not None and not template.name.startswith("mail/"):
            self.rendered.append(frozenset({template.name, context.get("part") or template.name}))

    def __enter__(self) -> "Site":
        for thread in self._threads:
            thread.start()
        return self

    def _receive(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length).decode() if length else environ["QUERY_STRING"]
        if environ["PATH_INFO"] == "/cb":
            self.received.append((environ["REQUEST_METHOD"], dict(parse_qsl(body))))
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"<!doctype html><title>Application</title><h1 id=arrived>You arrived</h1>"]

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server, thread in zip((self._server, self._application), self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self.services.close()

    def authorize_url(self, client_id: str = "docs", **changes: str | list[str]) -> str:
        """Where a demo client sends people."""
        parameters: dict[str, Any] = {
            "client_id": client_id,
            "redirect_uri": self._callback,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "st&<\"'>ä",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"{self.base_url}/authorize?{urlencode(parameters, doseq=True)}"

    def device(self) -> dict[str, Any]:
        """What a television gets that asks to be let in."""
        form = {"client_id": "tv", "scope": "openid profile read"}
        agent = {"User-Agent": "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36"}
        answer = requests.post(f"{self.base_url}/device_authorization", data=form, headers=agent, timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def admin_link(self) -> str:
        """A link that makes the first administrator."""
        with self.services.tenancy.session(self.demo.tenant.id, write=True) as session:
            return f"{self.base_url}/first-admin/{admin_links.create(session, recover=True)}"

    def allow_everything(self, username: str) -> None:
        """Consents of somebody, as if given."""
        with self.services.tenancy.session(self.demo.tenant.id, write=True) as session:
            user = users.find_by_login(session, username)
            assert user is not None
            openid = {ISSUER: frozenset({"openid", "profile", "email"})}
            consents.allow(session, user.id, "docs", {**openid, API: frozenset({"read", "write"})})
            consents.allow(session, user.id, "tool", {PAYMENTS: frozenset({"history"})})

    def stay_signed_in(self, username: str) -> None:
        """The tenant's own application, on two devices of somebody, as if signed in to."""
        with self.services.tenancy.session(self.demo.tenant.id, write=True) as session:
            user = users.find_by_login(session, username)
            assert user is not None
            if lasting_grants.without_consent(session, user.id):
                return
            for agent in _TELEPHONES:
                found = grants.create(
                    session,
                    user_id=user.id,
                    client_id="own",
                    session_id=None,
                    scopes=("openid", "offline_access"),
                    resources=(self.demo.tenant.issuer,),
                    auth_time=clock.now(),
                    amr=("pwd",),
                    acr="",
                    offline=True,
                    consents=(),
                    ip="127.0.0.1",
                    user_agent=agent,
                )
                self.services.refresh_tokens.start(
                    session, self.demo.tenant.id, found.id, expires_at=clock.after(86400)
                )

    def forget_interaction(self, interaction_id: str) -> None:
        """What ten minutes do."""
        key = Key(self.demo.tenant.id, "interaction", lookup_hash(interaction_id))
        self.services.state.execute(Delete(key))

    def keep_mail(self) -> None:
        """Two messages in the mailbox."""
        with self.services.tenancy.session(self.demo.tenant.id, write=True) as session:
            session.execute(delete(MailboxMessage))
            for subject, text in _MAIL:
                session.add(
                    MailboxMessage(recipient="alice@example.com", subject=subject, text=text, html=_HTML)
                )

    def _populate(self) -> Demo:
        with self.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            row = tenants.find(session, tenants.DEFAULT_SLUG)
            assert row is not None
            row.name = "Northwind"
            tenant_id = row.id
            tenants.create(session, slug="rtl", name="شركة الشمال للحلول الرقمية")
            self._brands(session)
            people_id = tenants.create(session, slug="people", name="Harbour", settings=_PEOPLE).id
        with self.services.tenancy.session(tenant_id, write=True) as session:
            self._people(session)
            self._resources(session)
            self._clients(session)
        with self.services.tenancy.session(people_id, write=True) as session:
            self._newcomers(session)
        self.services.versions.touch()
        return Demo(self.services.tenants.default(), self._callback)

    def people(self) -> TenantContext:
        """The tenant whose people come and go: open to everybody, with terms, confirmed addresses and a profile."""
        found = self.services.tenants.by_slug("people")
        assert found is not None
        return found

    def people_url(self, **changes: str) -> str:
        """Where the application of that tenant sends people."""
        return self.authorize_url("docs", **changes).replace("/authorize", "/t/people/authorize", 1)

    def link(self, purpose: str, path: str, username: str | None = None, **data: Any) -> str:
        """A one-time link of that tenant."""
        with self.services.tenancy.session(self.people().id, write=True) as session:
            user = users.find_by_login(session, username) if username else None
            token = one_time_links.create(session, purpose, user_id=user.id if user else None, data=data)
        return f"{self.base_url}/t/people{path}/{token}"

    def _newcomers(self, session: Any) -> None:
        for username, verified, agreed, leaves in (
            ("dana", False, None, False),
            ("erin", True, None, False),
            ("finn", True, "2026-05", True),
            ("gina", True, "2026-05", False),
        ):
            user = users.create(
                session,
                username=username,
                email=f"{username}@example.com",
                email_verified=verified,
                password_hash=self.services.passwords.hash(PASSWORD),
                claims={"name": username.title(), "team": "Harbour master"},
            )
            user.terms_version = agreed
            user.delete_at = clock.after(10 * 86400) if leaves else None
        said = {
            "redirect_uris": [self._callback],
            "token_endpoint_auth_method": "none",
            "scope": "openid profile email",
        }
        clients.create(session, "docs", {**said, "client_name": "Example Docs"})

    def _brands(self, session: Any) -> None:
        """A loud tenant, and one with a host and HTML of its own: the same server by its other name."""
        host = self.base_url.partition("//")[2].replace("localhost", "127.0.0.1")
        loud = tenants.create(session, slug="loud", name="Loud")
        own = tenants.create(session, slug="own-markup", name="Own Markup", host=host)
        self.own_origin = f"http://{host}"
        for row, said in ((loud, LOUD), (own, OWN_MARKUP)):
            tenants.update_settings(row, branding.keep_pictures(session, row.id, {"branding": said}))

    def _people(self, session: Any) -> None:
        engineering = Group(name="engineering")
        session.add(engineering)
        session.flush()
        for username, name in (("alice", "Alice Adams"), ("bob", "Bob Baker"), ("carol", "Carol Chen")):
            user = users.create(
                session,
                username=username,
                email=f"{username}@example.com",
                email_verified=True,
                password_hash=self.services.passwords.hash(PASSWORD),
                claims={"name": name},
            )
            if username == "alice":
                session.add(UserGroup(user_id=user.id, group_id=engineering.id))

    def _resources(self, session: Any) -> None:
        for identifier, name, scopes in (
            (
                API,
                "Documents",
                (("read", "Read your documents", False), ("write", "Change your documents", False)),
            ),
            (
                PAYMENTS,
                "Payments",
                (("history", "See your payments", False), ("pay", "Pay from your account", True)),
            ),
        ):
            resource = Resource(identifier=identifier, name=name)
            session.add(resource)
            session.flush()
            for scope, words, sensitive in scopes:
                session.add(
                    ResourceScope(resource_id=resource.id, name=scope, description=words, sensitive=sensitive)
                )

    def _clients(self, session: Any) -> None:
        common = {
            "redirect_uris": [self._callback],
            "post_logout_redirect_uris": [self._callback],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            "scope": "openid profile email groups offline_access read write history pay",
            "policy_uri": "https://docs.example.com/privacy",
            "tos_uri": "https://docs.example.com/terms",
        }
        clients.create(session, "docs", {**common, "client_name": "Example Docs"})
        clients.create(session, "tool", {**common, "client_name": "Desk Tool", "application_type": "native"})
        clients.create(
            session, "board", {**common, "client_name": "Control Board", "allowed_groups": ["engineering"]}
        )
        own = {**common, "client_name": "Northwind Mail", "first_party": True}
        clients.create(session, "own", own)
        clients.create(session, "framed", {**own, "frontchannel_logout_uri": f"{self._callback}/leave"})
        clients.create(
            session,
            "tv",
            {
                **{name: value for name, value in common.items() if name != "redirect_uris"},
                "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
                "client_name": "Living Room TV",
            },
        )


def temporary_site() -> tuple[tempfile.TemporaryDirectory[str], Site]:
    """A site in a folder that vanishes with it."""
    folder = tempfile.TemporaryDirectory()
    return folder, Site(Path(folder.name))
