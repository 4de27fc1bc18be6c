"""The terms people agree to: one version at a time, and who agreed to which, when."""

from app.domain.models import User
from app.domain.tenant_settings import TermsSettings
from app.kernel import clock
from app.kernel.errors import Problem


def are_due(terms: TermsSettings | None, user: User) -> bool:
    """Whether the person has not agreed to the present version."""
    return terms is not None and user.terms_version != terms.version


def check(terms: TermsSettings, version: str | None) -> None:
    """Raise `Problem` when nobody agreed (`terms.unmet`), or to another version (`terms.changed`, 409)."""
    if version is None:
        raise Problem("terms.unmet", "Agree to the terms to have an account.")
    if version != terms.version:
        raise Problem("terms.changed", "The terms have just changed. Read them again.", status=409)


def agree(terms: TermsSettings, user: User, version: str) -> None:
    """Note that the person agreed to the version they were shown.

    Raises `Problem` (`terms.changed`, 409) when there is another by now: nobody agrees to what they did not see.
    """
    check(terms, version)
    user.terms_version, user.terms_agreed_at = version, clock.now()
