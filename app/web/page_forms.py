"""The forms of the pages, and what protects them: a token bound to the cookie or link the form belongs to."""

import hmac
import secrets
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from flask import current_app, request
from flask_wtf import FlaskForm
from wtforms import Field, StringField, ValidationError
from wtforms.csrf.core import CSRF

from app.kernel import uris
from app.kernel.errors import Problem

MAX_FIELD = 8192

F = TypeVar("F", bound="PageForm")


def _text() -> StringField:
    return StringField()  # type: ignore[no-untyped-call]


class BoundCsrf(CSRF):
    """A token only this server can make, for one secret of this browser: `nonce.MAC(nonce, secret)`.

    Nothing is stored. Another site knows neither the server's key nor the browser's secret, and a token of another
    browser or another interaction does not fit. The nonce makes each one look different, so that compression tells
    nothing about it.
    """

    def setup_form(self, form: "PageForm") -> Any:
        """Remember what the token is bound to."""
        self._bound_to = form.meta.csrf_context
        return super().setup_form(form)  # type: ignore[no-untyped-call]

    def generate_csrf_token(self, csrf_token_field: Field) -> str:
        """A fresh token."""
        return make_token(str(self._bound_to))

    def validate_csrf_token(self, form: "PageForm", field: Field) -> None:
        """Raises `ValidationError` for a missing or foreign token."""
        if not is_token(str(self._bound_to), field.data or ""):
            raise ValidationError("The form is not one of ours.")  # type: ignore[no-untyped-call]


class PageForm(FlaskForm):
    """Every form that changes something: it has a token and says which step it takes."""

    longest: ClassVar[int] = MAX_FIELD
    """How many characters a field may have."""

    class Meta(FlaskForm.Meta):
        """Flask-WTF's, with our token."""

        csrf = True
        csrf_class = BoundCsrf  # type: ignore[assignment]

    step = _text()


class SignInForm(PageForm):
    """The sign-in page. `way` is `email` where a message is wanted in place of the password."""

    username = _text()
    password = _text()
    credential = _text()
    way = _text()


class ConsentForm(PageForm):
    """The consent page. `session` is the public id of the one whose person it named."""

    answer = _text()
    session = _text()


class DeviceForm(PageForm):
    """Comparing a device's code: `continue` or `deny`."""

    answer = _text()


class WithdrawForm(PageForm):
    """Taking a consent back."""

    consent = _text()


class ChooseForm(PageForm):
    """Choosing the account to go on with: a session's public id, or `another`."""

    account = _text()


class LanguageForm(PageForm):
    """Changing the language of the pages; `return_to` is the page it was chosen on."""

    language = _text()
    return_to = _text()


class ConfirmForm(PageForm):
    """Confirming a sign-out; `confirmed` is what the question was about."""

    confirmed = _text()


class FirstAdminForm(PageForm):
    """Making the first administrator."""

    username = _text()
    email = _text()
    password = _text()


def make_token(bound_to: str) -> str:
    """A token for a form bound to `bound_to`, which is a secret of this browser."""
    nonce = secrets.token_urlsafe(12)
    return f"{nonce}.{_mac(nonce, bound_to)}"


def is_token(bound_to: str, token: str) -> bool:
    """Whether `token` was made by us for `bound_to`."""
    nonce, _, mac = token.partition(".")
    return hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(nonce, bound_to).encode())


def checked(kind: type[F], bound_to: str) -> F:
    """The submitted form, its token verified. Raises `Problem` (`form.foreign`, 403).

    What the browser itself says about where the request comes from has to agree: a form behind a link has no secret of
    the browser in it, and whoever has the link would have others send it.
    """
    if not _is_sent_here():
        raise _foreign("sent by another site")
    form = kind(meta={"csrf_context": bound_to})
    if not form.validate():  # type: ignore[no-untyped-call]
        raise _foreign("token missing or foreign")
    if any(len(field.data or "") > kind.longest for field in form):
        raise Problem("form.too_large", "A field of the form is too long.", status=400)
    return form


def _is_sent_here() -> bool:
    """Whether a page of ours sent the request, by Fetch Metadata; of browsers without, by `Origin` (RFC 6454 section
    7), or else by `Referer`. One that says nothing of the three is taken at its token.

    `Origin: null` says nothing: by the policy of our own pages, no-referrer, it is what older browsers send from them.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    sender = request.headers.get("Origin", "null")
    if sender == "null":
        sender = request.headers.get("Referer", "")
    return not sender or _origin_of(sender) in map(_origin_of, _ours())


def _ours() -> Iterator[str]:
    """Where our pages are: as the request has it, and as the operator says, who knows what a proxy hides."""
    yield request.host_url
    yield current_app.extensions["watchword"].settings.base_url
    if (where := request.environ.get("watchword.tenant")) is not None:
        yield where.issuer


def _origin_of(url: str) -> tuple[str, str] | None:
    parts = uris.split(url)
    return (parts.scheme.lower(), parts.netloc.lower()) if parts else None


def _foreign(detail: str) -> Problem:
    return Problem(
        "form.foreign",
        "This form is not valid any more. Go back, load the page again and repeat it.",
        detail=detail,
        status=403,
    )


def _mac(nonce: str, bound_to: str) -> str:
    key = current_app.secret_key
    if not isinstance(key, bytes):
        raise RuntimeError("the application has no secret key")
    return hmac.digest(key, f"form\0{nonce}\0{bound_to}".encode("utf-8", "replace"), "sha256").hex()
