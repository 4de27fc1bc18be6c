"""The forms of second factors: showing one, adding one, and looking after them."""

from wtforms import StringField

from app.protocols.login.factors.passkey import MAX_NEW
from app.web.page_forms import PageForm


def _text() -> StringField:
    return StringField()  # type: ignore[no-untyped-call]


class FactorForm(PageForm):
    """Showing a factor. `way` is which, `send` asks for a code, `trust` for no more questions in this browser."""

    way = _text()
    send = _text()
    code = _text()
    password = _text()
    trust = _text()
    credential = _text()


class EnrolForm(PageForm):
    """Adding one. `answer` is `send`, `again` or empty. A new passkey brings the certificates of its manufacturer."""

    longest = MAX_NEW

    way = _text()
    answer = _text()
    code = _text()
    name = _text()
    number = _text()
    password = _text()
    credential = _text()


class CodesForm(PageForm):
    """The page of new recovery codes: `download` or `saved`."""

    answer = _text()


class KeptFactorsForm(PageForm):
    """What somebody has: `remove` an authenticator, `forget` one trusted browser, or `forget-all`."""

    target = _text()
