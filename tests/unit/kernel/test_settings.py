"""Deployment settings: every fault at once, nothing unknown, secrets from files."""

import json
from pathlib import Path

import pytest

from app.kernel.errors import ConfigurationError
from app.kernel.settings import SETTING_NAMES, load


def read(environ: dict[str, str]) -> object:
    return load(environ, parse_yaml=json.loads)


def test_the_defaults_are_a_loopback_development_server() -> None:
    settings = load({}, parse_yaml=json.loads)
    assert settings.is_loopback
    assert settings.is_sqlite
    assert settings.base_url == "http://localhost:8000"


def test_without_a_base_url_it_is_this_machine_at_the_port() -> None:
    assert load({"WATCHWORD_PORT": "9000"}, parse_yaml=json.loads).base_url == "http://localhost:9000"


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read({"WATCHWORD_BASE_URL": "http://id.example.com", "WATCHWORD_PORT": "0", "WATCHWORD_NO_SUCH": "1"})
    told = "\n".join(refused.value.faults)
    assert "WATCHWORD_BASE_URL: https is required" in told
    assert "WATCHWORD_PORT" in told
    assert "WATCHWORD_NO_SUCH: no such setting" in told


@pytest.mark.parametrize(
    "origin", ["https://a/path", "https://a?x=1", "https://u@a", "ftp://a", "a.example", "https://a#f"]
)
def test_the_base_url_is_an_origin(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        read({"WATCHWORD_BASE_URL": origin})


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://ID.example.com:443/", "https://id.example.com"),
        ("https://id.example.com:8443", "https://id.example.com:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_base_url_is_as_browsers_write_it(given: str, origin: str) -> None:
    assert load({"WATCHWORD_BASE_URL": given}, parse_yaml=json.loads).base_url == origin


def test_any_setting_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "smtp"
    secret.write_text("smtp://mail.example:25\n", "utf-8")
    assert (
        load({"WATCHWORD_SMTP_URL_FILE": str(secret)}, parse_yaml=json.loads).smtp_url
        == "smtp://mail.example:25"
    )


def test_a_value_and_a_file_for_one_setting_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="given twice"):
        read({"WATCHWORD_SMTP_URL_FILE": str(tmp_path / "x"), "WATCHWORD_SMTP_URL": "smtp://a"})


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "watchword.yaml"
    file.write_text('{"port": 9000, "workers": 3, "fetch_allow": ["10.0.0.0/8", "app.test"]}', "utf-8")
    settings = load({"WATCHWORD_CONFIG": str(file), "WATCHWORD_PORT": "9001"}, parse_yaml=json.loads)
    assert (settings.port, settings.workers) == (9001, 3)
    assert settings.fetch_allow == ("10.0.0.0/8", "app.test")


def test_postgresql_without_a_master_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="WATCHWORD_MASTER_KEY"):
        read({"WATCHWORD_DATABASE_URL": "postgresql://app@db/watchword"})


def test_every_setting_has_a_name_and_words() -> None:
    assert "WATCHWORD_BASE_URL" in SETTING_NAMES
    from dataclasses import fields

    from app.kernel.settings import Settings

    assert all(field.metadata["doc"].endswith(".") for field in fields(Settings))
