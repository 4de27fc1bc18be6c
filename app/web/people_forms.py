"""The forms of the pages about people's accounts."""

from wtforms import StringField

from app.web.page_forms import PageForm


def _text() -> StringField:
    return StringField()  # type: ignore[no-untyped-call]


class AddressForm(PageForm):
    """Asking for an account: the address, and the browser's proof of work if it did one."""

    email = _text()
    challenge = _text()
    proof = _text()


class ForgottenForm(PageForm):
    """Asking for a new password."""

    login = _text()


class NewAccountForm(PageForm):
    """Making an account; `agreed` is the version of the terms the page showed, and `way` is `passkey` for one in place
    of a password. The profile's fields come besides."""

    username = _text()
    password = _text()
    way = _text()
    agreed = _text()


class NewPasswordForm(PageForm):
    """Setting a new password."""

    password = _text()


class OwnPasswordForm(PageForm):
    """Changing one's own password."""

    current = _text()
    password = _text()


class TermsForm(PageForm):
    """Agreeing to a version of the terms."""

    agreed = _text()
    answer = _text()


class AnswerForm(PageForm):
    """A page with several buttons."""

    answer = _text()


class EmailForm(PageForm):
    """Wanting another e-mail address."""

    email = _text()


class LeaveForm(PageForm):
    """Asking to be deleted: the user name, typed in."""

    username = _text()
