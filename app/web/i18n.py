"""In which language a page speaks: what the person or the application asked for, among what the tenant offers.

Texts are English in the source, inside `_()`, and translated by gettext: `translations/{tag}.po`, read when the
language is first spoken. What a page says of a reason or a table's row is marked with `later` where it stands and
given to `_()` where it is said.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from babel import Locale
from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, Response, g, request
from flask_babel import Babel, Domain, get_locale, refresh
from flask_babel import gettext as _

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.kernel import languages, paths
from app.kernel.languages import SOURCE as DEFAULT
from app.web.page_forms import LanguageForm, checked, make_token

__all__ = ["DEFAULT", "LANGUAGES", "language", "later", "locale_of", "offered", "prefer"]

LANGUAGES = languages.available()
COOKIE = "language"
COOKIE_SECONDS = 365 * 86400
MAX_RETURN = 2000
_BOUND_TO = "language"


class Catalogues(Domain):
    """Translations straight from their source files: there is nothing to compile and nothing to forget."""

    def get_translations(self) -> NullTranslations:
        """Those of the language in force."""
        locale = get_locale()
        return catalogue(locale_tag(locale)) if locale else NullTranslations()


class _Babel(Babel):
    @cached_property
    def domain_instance(self) -> Domain:
        return Catalogues()  # type: ignore[no-untyped-call]


@lru_cache(maxsize=32)
def catalogue(tag: str) -> NullTranslations:
    """The translations into a language; those of English are the texts themselves."""
    source = paths.TRANSLATIONS / f"{tag}.po"
    if tag not in LANGUAGES or tag == DEFAULT:
        return NullTranslations()
    with source.open("rb") as file:
        read = read_po(file, locale=locale_of(tag))
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return Translations(compiled)


def later(text: str) -> str:
    """The text as it is: it is translated where it is said."""
    return text


def register(app: Flask) -> None:
    """Give templates `_()`, `ngettext()` and the rest, and add the switch."""
    app.config["BABEL_DEFAULT_LOCALE"] = DEFAULT
    # What the forms' library says itself is never shown: its catalogues are not read.
    app.config["WTF_I18N_ENABLED"] = False
    _Babel(app, locale_selector=lambda: locale_of(language()))  # type: ignore[no-untyped-call]
    app.add_url_rule("/language", "language", _switch, methods=["POST"])


def offered(where: TenantContext | None) -> tuple[str, ...]:
    """The languages a tenant has its pages in."""
    return where.settings.languages.among(LANGUAGES) if where else LANGUAGES


def prefer(*, ui_locales: str | None = None, person: object = None) -> None:
    """Say what is known of whoever reads this answer: the application's `ui_locales` (OpenID Connect Core section
    3.1.2.1), and the `locale` of the person's profile."""
    if ui_locales:
        g.ui_locales = ui_locales
    if person:
        g.person_locale = str(person)
    refresh()  # type: ignore[no-untyped-call]


def language() -> str:
    """The best language for whoever reads this answer.

    What they chose on a page of ours comes first, as the switch would do nothing else where the application names
    languages; then `ui_locales`, their profile, their browser, and the tenant's own language.
    """
    from app.web import pages

    where: TenantContext | None = request.environ.get("watchword.tenant")
    tags = offered(where)
    wanted = (
        (pages.cookies().read(where, COOKIE) or "").split() if where else [],
        (g.get("ui_locales") or _queried()).split(),
        g.get("person_locale", "").split(),
        [tag for tag, _ in request.accept_languages],
    )
    for each in wanted:
        if (found := languages.best(each, tags)) is not None:
            return found
    own = where.settings.languages.default if where else DEFAULT
    return own if own in tags else tags[0]


def _queried() -> str:
    """The languages a link names. A query that is no ASCII is refused, in some language."""
    return request.args.get("ui_locales", "") if request.query_string.isascii() else ""


def locale_of(tag: str) -> Locale:
    """Babel's locale of a language."""
    return Locale.parse(tag, sep="-")


def locale_tag(locale: Locale) -> str:
    """The language of Babel's locale."""
    return str(locale).replace("_", "-")


def in_words(moment: datetime) -> str:
    """An instant as a person reads it, in their language."""
    locale = get_locale() or locale_of(DEFAULT)
    day = format_skeleton("yMMMMd", moment, locale=locale)
    return _("%(day)s, %(time)s UTC", day=day, time=f"{moment:%H:%M}")


def page_values(where: TenantContext | None, *, switch: bool) -> dict[str, Any]:
    """What the frame of every page needs: the language, which way it runs, and the ones to switch to."""
    from app.web import pages

    now = language()
    tags = offered(where) if switch and where else ()
    return {
        "language": now,
        "direction": direction(now),
        "languages": [(tag, locale_of(tag).get_display_name(), tag == now) for tag in tags]
        if len(tags) > 1
        else [],
        "language_action": pages.url("language"),
        "language_csrf": make_token(_BOUND_TO),
        "language_return": _here(),
    }


def direction(tag: str) -> str:
    """`ltr` or `rtl`."""
    return "rtl" if locale_of(tag).text_direction == "rtl" else "ltr"


def best_for(where: TenantContext, wanted: Sequence[str]) -> str:
    """The language a tenant writes to somebody in, of whom this much is known."""
    return languages.best(wanted, offered(where)) or where.settings.languages.default


def in_language(texts: Mapping[str, str] | str, where: TenantContext, *, reader: str | None = None) -> str:
    """The text for whoever reads: in their language, else the tenant's, else English, else any there is.

    A text of no language is the same for everybody. `reader` is the language where no request says it.
    """
    if isinstance(texts, str):
        return texts
    tag = languages.best((reader or language(), where.settings.languages.default, DEFAULT), tuple(texts))
    return texts[tag] if tag else next(iter(texts.values()), "")


def of_client(client: ClientRecord, member: str) -> str:
    """What a client says of itself for whoever reads: `client_name#de` before `client_name` (RFC 7591 section 2.2)."""
    prefix = f"{member}#"
    own = {key.removeprefix(prefix): key for key in client.metadata if key.startswith(prefix)}
    tag = languages.best([language()], tuple(own))
    return str(client.metadata.get(own[tag] if tag else member) or "")


def client_name(client: ClientRecord) -> str:
    """What a client is called, in the reader's language where it has such a name."""
    return of_client(client, "client_name") or client.name


def _here() -> str:
    """The page to come back to."""
    path = request.script_root + request.path
    query = request.query_string.decode("ascii", "replace")
    full = f"{path}?{query}" if query and request.method == "GET" else path
    return full if len(full) <= MAX_RETURN else path


def _switch() -> Response:
    """Keep the language somebody chose in this browser."""
    from app.web import pages

    where = pages.tenant()
    form = checked(LanguageForm, _BOUND_TO)
    response = pages.see_other(_own(form.return_to.data or "", where) or pages.url("start"))
    if (chosen := form.language.data or "") in offered(where):
        pages.cookies().set(response, where, chosen, suffix=COOKIE, seconds=COOKIE_SECONDS)
    return response


def _own(target: str, where: TenantContext) -> str | None:
    """The target if it is a path of this tenant: nobody is sent elsewhere."""
    is_path = target.startswith(f"{where.path}/") and not target.startswith("//")
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if is_path and plain else None
