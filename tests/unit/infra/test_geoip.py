import os
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from app.domain.places import Places
from app.infra.geoip import GeoFile
from app.kernel import clock
from app.kernel.errors import ConfigurationError
from tests.unit import mmdb

BERLIN = {"city": {"names": {"en": "Berlin"}}, "country": {"names": {"en": "Germany", "de": "Deutschland"}}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return mmdb.write(
        tmp_path / "places.mmdb",
        {"192.0.2.0/24": BERLIN, "2001:db8::/32": {"country": {"names": {"en": "France"}}}},
    )


@pytest.mark.parametrize(
    ("ip", "language", "place"),
    [
        ("192.0.2.9", "en", "Berlin, Germany"),
        ("192.0.2.9", "de", "Berlin, Deutschland"),
        ("192.0.2.9", "de-AT", "Berlin, Deutschland"),
        ("192.0.2.9", "ar", "Berlin, Germany"),
        ("2001:db8::1", "en", "France"),
        ("198.51.100.1", "en", ""),
        ("nonsense", "en", ""),
        ("", "en", ""),
    ],
)
def test_addresses_have_places(file: Path, ip: str, language: str, place: str) -> None:
    assert Places(GeoFile(file).record).name(ip, language) == place


def test_without_a_file_there_are_none() -> None:
    assert Places().name("192.0.2.9") == ""


def test_a_newer_file_is_read_within_a_minute_and_a_broken_one_is_not(file: Path) -> None:
    places = Places(GeoFile(file).record)
    now = clock.now()
    mmdb.write(file, {"192.0.2.0/24": {"country": {"names": {"en": "Spain"}}}})
    os.utime(file, (1, 1))
    assert places.name("192.0.2.9") == "Berlin, Germany"
    with time_machine.travel(now + timedelta(seconds=61), tick=False):
        assert places.name("192.0.2.9") == "Spain"
    file.write_bytes(b"no such thing")
    with time_machine.travel(now + timedelta(seconds=122), tick=False):
        assert places.name("192.0.2.9") == "Spain"
    file.unlink()
    with time_machine.travel(now + timedelta(seconds=183), tick=False):
        assert places.name("192.0.2.9") == "Spain"


def test_a_file_that_is_none_is_refused_at_start(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.mmdb"
    with pytest.raises(ConfigurationError):
        GeoFile(wrong)
    wrong.write_bytes(b"x" * 5000)
    with pytest.raises(ConfigurationError):
        GeoFile(wrong)
