"""In which language a page speaks: what the client or the person asked for, among what the tenant has.

Texts are English in the source and translated by gettext: `translations/{language}/LC_MESSAGES/messages.po`.
"""

from flask import Flask, request
from flask_babel import Babel

LANGUAGES = ("en",)
DEFAULT = "en"


def register(app: Flask) -> None:
    """Give templates `_()`, `ngettext()` and the rest."""
    app.config["BABEL_DEFAULT_LOCALE"] = DEFAULT
    Babel(app, locale_selector=language)  # type: ignore[no-untyped-call]


def language() -> str:
    """The best language for whoever reads this answer."""
    return request.accept_languages.best_match(LANGUAGES, default=DEFAULT) or DEFAULT
