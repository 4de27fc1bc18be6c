"""The forms of the account console."""

import re

from wtforms import StringField

from app.web.page_forms import PageForm

ID = re.compile(r"[0-9a-f-]{36}")
"""What our own ids look like."""


def _text() -> StringField:
    return StringField()  # type: ignore[no-untyped-call]


class AccessForm(PageForm):
    """Taking access back: one consent, one grant that lasts without, or all of a client's."""

    consent = _text()
    grant = _text()
    client = _text()


class PasskeysForm(PageForm):
    """A passkey: `rename` it to `name`, or `remove` it."""

    target = _text()
    name = _text()


class SessionsForm(PageForm):
    """Ending sessions: the one named, all others, or everything."""

    session = _text()


class AccountsForm(PageForm):
    """The accounts of this browser: `session` names the one that is meant."""

    session = _text()
