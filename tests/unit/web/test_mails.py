"""E-mails as text and HTML of the same parts, with links below the issuer alone."""

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask

from app.domain.tenant_settings import TenantSettings
from app.domain.tenants import TenantContext
from app.kernel import paths
from app.web import mails

VALUES = {
    "link": "https://id.example.com/t/acme/reset/abc?x=1&y=2",
    "expires_at": datetime(2026, 5, 4, 12, 30, tzinfo=UTC),
    "when": datetime(2026, 5, 4, 12, 30, tzinfo=UTC),
    "delete_at": datetime(2026, 5, 4, 12, 30, tzinfo=UTC),
    "new_address": "new@example.com",
    "signed_out": True,
    "secret": "123456",
    "minutes": 10,
    "device": "Firefox on Linux",
    "place": "",
    "ip": "192.0.2.1",
    "name": "Key <b>ring</b>",
    "added": True,
    "by_password": True,
    "used": True,
    "left": 9,
}
HOSTILE = '<script>alert(1)</script> {{ 7*7 }} & "Co"'


def at(name: str = "Acme") -> TenantContext:
    return TenantContext(
        "1", "acme", name, "https://id.example.com/t/acme", "/t/acme", None, TenantSettings(), 1
    )


def templates() -> list[str]:
    return sorted(path.stem for path in Path(paths.TEMPLATES / "mail").glob("*.txt") if path.stem != "layout")


@pytest.mark.parametrize("template", templates())
def test_every_mail_has_a_subject_text_and_html_that_say_the_same(app: Flask, template: str) -> None:
    with app.app_context():
        subject, text, html = mails.render(at(), template, "en", **VALUES)
    assert subject
    assert "\n" not in subject
    assert "{" not in text
    assert "<" not in text.replace("<b>", "").replace("</b>", "")
    assert html.startswith("<!doctype html>")
    assert '<html lang="en" dir="ltr">' in html
    assert "<script" not in html
    assert "<table" not in html
    assert "<link" not in html
    if "https://id.example.com/t/acme/reset" in text:
        assert 'href="https://id.example.com/t/acme/reset/abc?x=1&amp;y=2"' in html


@pytest.mark.parametrize("template", templates())
def test_a_tenants_name_is_text_wherever_it_stands(app: Flask, template: str) -> None:
    """Neither markup nor a template of its own."""
    with app.app_context():
        subject, text, html = mails.render(at(HOSTILE), template, "en", **VALUES)
    assert "<script>" not in html
    assert HOSTILE in text
    assert "49" not in subject


def test_links_are_the_issuers_whatever_the_request_says(app: Flask) -> None:
    with app.test_request_context(base_url="https://evil.example"):
        assert mails.link(at(), "start") == "https://id.example.com/t/acme/"
    with app.app_context():
        assert mails.link(at(), "first_admin", token="a") == "https://id.example.com/t/acme/first-admin/a"


@pytest.mark.parametrize("template", templates())
@pytest.mark.parametrize(("language", "direction"), [("de", "ltr"), ("ar", "rtl")])
def test_every_mail_is_in_the_readers_language(
    app: Flask, template: str, language: str, direction: str
) -> None:
    """Subject and every paragraph, with the frame that goes with them."""
    with app.app_context():
        subject, text, html = mails.render(at(), template, language, **VALUES)
        english, plain, _ = mails.render(at(), template, "en", **VALUES)
    assert f'<html lang="{language}" dir="{direction}">' in html
    assert subject != english
    said = {line for line in text.splitlines() if len(line) > 20 and "://" not in line}
    assert said
    assert said.isdisjoint(plain.splitlines())
    if language == "ar":
        assert re.search("[\u0621-\u064a]", subject + text)


def test_a_mail_looks_like_the_tenant(app: Flask) -> None:
    said = {"branding": {"name": "Loud & Clear", "colours": {"brand": "#c2185b"}}}
    loud = dataclasses.replace(at(), settings=TenantSettings.model_validate(said))
    with app.app_context():
        _, text, html = mails.render(loud, "reset_password", "en", **VALUES)
    assert "#c2185b" in html
    assert "Loud &amp; Clear" in html
    assert "Loud & Clear" in text


def test_an_unknown_language_is_english(app: Flask) -> None:
    with app.app_context():
        assert "Set a new password" in mails.render(at(), "reset_password", "tlh", **VALUES)[0]


@pytest.mark.parametrize("template", templates())
def test_every_mail_has_the_tenants_own_words(app: Flask, template: str) -> None:
    """In the reader's language, as text, in both layouts; without any nothing is there."""
    words = {
        "greeting": {"en": f"Dear customer {HOSTILE}", "de": "Guten Tag"},
        "footer": {"en": "Questions? Call 555-0100."},
    }
    said = TenantSettings.model_validate({"branding": {"texts": {"mail": words}}})
    own = dataclasses.replace(at(), settings=said)
    with app.app_context():
        _, text, html = mails.render(own, template, "en", **VALUES)
        _, german, _ = mails.render(own, template, "de", **VALUES)
        _, plain, _ = mails.render(at(), template, "en", **VALUES)
    assert text.startswith(f"Dear customer {HOSTILE}\n\n")
    assert "Questions? Call 555-0100.\n\n-- \n" in text
    assert "Dear customer &lt;script&gt;" in html
    assert "<script>" not in html
    assert "49" not in html
    assert german.startswith("Guten Tag\n\n")
    assert "Questions?" in german, "English where there is no German"
    assert (
        text.replace(f"Dear customer {HOSTILE}\n\n", "").replace("Questions? Call 555-0100.\n\n", "") == plain
    )
