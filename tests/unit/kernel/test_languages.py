"""Which language serves best (RFC 4647 section 3.4)."""

import pytest

from app.kernel import languages

OFFERED = ("en", "de", "ar", "pt-BR", "zh-Hant")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["de"], "de"),
        (["DE-ch-1996"], "de"),
        (["de_AT"], "de"),
        (["fr", "ar-EG", "de"], "ar"),
        (["zh-Hant-TW"], "zh-Hant"),
        (["pt-br"], "pt-BR"),
        (["pt"], None),
        (["x", "", "-", "*", "\x00", "é" * 500], None),
        ([], None),
    ],
)
def test_best(wanted: list[str], found: str | None) -> None:
    assert languages.best(wanted, OFFERED) == found


def test_no_more_than_a_person_reads() -> None:
    assert languages.best([f"x{n}" for n in range(20)] + ["de"], OFFERED) is None


def test_those_there_are() -> None:
    assert languages.available()[0] == "en"
    assert {"de", "ar"} <= set(languages.available())
