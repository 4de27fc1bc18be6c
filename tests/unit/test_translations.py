"""Every text of pages and mails is there in German and Arabic, with the same variables, and nothing is doubtful."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from app.web import i18n

ROOT = Path(__file__).parents[2]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()
TEXTS = SCRIPT.template()


def test_the_texts_are_found_wherever_they_stand() -> None:
    """In templates, mails, tables of the web layer and refusals below it."""
    for text in (
        "Sign in",
        "Wrong username or password",
        "Your password was changed",
        "There is nothing here",
        "At least {} characters.",
        "This redirect_uri is not registered for the client.",
        "See this organization's settings and records",
    ):
        assert TEXTS.get(text) is not None, text


@pytest.mark.parametrize("tag", SCRIPT.COMPLETE)
def test_complete(tag: str) -> None:
    catalog = SCRIPT.updated(tag, TEXTS)
    assert list(SCRIPT.faults_of(catalog)) == [], "run `make translations` and translate what it names"


@pytest.mark.parametrize("tag", SCRIPT.COMPLETE)
def test_nothing_is_kept_that_nobody_says(tag: str) -> None:
    assert {message.id for message in SCRIPT.stored(tag)} == {message.id for message in TEXTS}


@pytest.mark.parametrize(
    ("said", "fault"),
    [("", "not translated"), ("Bei %(klient)s", "other variables"), ("Bei", "other variables")],
)
def test_faults_are_found(said: str, fault: str) -> None:
    catalog = SCRIPT.stored("de")
    message = catalog.get("Sign in to %(client)s")
    message.string = said
    assert fault in SCRIPT._fault(message, 2)


def test_plural_forms_of_arabic() -> None:
    said = i18n.catalogue("ar")
    forms = {
        said.ngettext("You have one recovery code left.", "You have %(num)s recovery codes left.", number)
        for number in (0, 1, 2, 3, 11, 100)
    }
    assert len(forms) >= 5


@pytest.mark.parametrize(
    ("number", "said"), [(1, "دقيقة."), (2, "دقيقتين."), (5, "%(num)s دقائق."), (15, "%(num)s دقيقة.")]
)
def test_minutes_in_arabic(number: int, said: str) -> None:
    """Of mails that expire: three to ten have a word of their own."""
    found = i18n.catalogue("ar").ngettext(
        "It works once and expires in a minute. Nobody of %(tenant)s ever asks you for it. "
        "If you are not signing in, ignore this mail.",
        "It works once and expires in %(num)s minutes. Nobody of %(tenant)s ever asks you for it. "
        "If you are not signing in, ignore this mail.",
        number,
    )
    assert said in found


def test_english_says_what_is_written() -> None:
    assert i18n.catalogue("en").gettext("Sign in") == "Sign in"
    assert i18n.catalogue("de").gettext("Sign in") == "Anmelden"
    assert i18n.catalogue("no-such").gettext("Sign in") == "Sign in"
