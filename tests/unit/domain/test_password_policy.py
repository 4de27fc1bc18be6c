"""What a tenant's settings ask of a new password."""

import pytest

from app.domain import password_policy
from app.domain.password_policy import check, describe, rules
from app.domain.tenant_settings import PasswordSettings
from app.kernel.errors import Problem

NIST = PasswordSettings()


def refused(password: str, settings: PasswordSettings = NIST, **options: object) -> str:
    with pytest.raises(Problem) as problem:
        check(password, settings, **options)  # type: ignore[arg-type]
    assert problem.value.code == "password.policy"
    assert password not in problem.value.public
    return problem.value.public


def test_nist_asks_for_length_alone() -> None:
    """NIST SP 800-63B-4 section 3.1.1.2: 15 characters alone, 8 with a second factor, no composition rules."""
    check("a" * 15, NIST)
    check("пароль из слов!", NIST)
    assert "At least 15" in refused("a" * 14)
    check("a" * 8, NIST, second_factor=True)
    assert "At least 8" in refused("a" * 7, second_factor=True)


def test_length_counts_characters_after_normalisation() -> None:
    assert "At least 15" in refused("e\u0308" * 14)
    check("\U0001f600" * 15, NIST)


@pytest.mark.parametrize(("preset", "length"), [("classic-8", 8), ("classic-12", 12)])
def test_classic_presets_ask_for_every_class(preset: str, length: int) -> None:
    settings = PasswordSettings.model_validate({"preset": preset})
    good = "Ab1!" + "x" * (length - 4)
    check(good, settings)
    check("Яб1 " + "x" * (length - 4), settings)
    assert f"At least {length}" in refused(good[:-1], settings)
    assert "upper-case" in refused(good.lower(), settings)
    assert "lower-case" in refused(good.upper(), settings)
    assert "digit" in refused(good.replace("1", "x"), settings)
    assert "neither letter nor digit" in refused(good.replace("!", "x"), settings)


def test_a_custom_preset_asks_for_what_it_names() -> None:
    wanted = {"uppercase": False, "lowercase": False, "digit": True, "special": False}
    named = {f"require_{name}": asked for name, asked in wanted.items()}
    settings = PasswordSettings.model_validate({"preset": "custom", "min_length": 10, **named})
    check("abcdefghi1", settings)
    assert refused("abcdefghij", settings) == "This password cannot be used. A digit."


def test_a_custom_preset_that_names_nothing_asks_for_all() -> None:
    """Contracts, "Tenant settings": 12 characters, every class."""
    assert rules(PasswordSettings(preset="custom")) == rules(PasswordSettings(preset="classic-12"))


def test_every_broken_rule_is_named_at_once() -> None:
    said = refused("q", PasswordSettings(preset="classic-12"))
    assert [word in said for word in ("At least 12", "upper-case", "digit", "neither")] == [True] * 4
    assert "lower-case" not in said


@pytest.mark.parametrize(
    "password",
    [
        "alice.adams@example.com",
        "ALICE.ADAMS@EXAMPLE.COM",
        "alice.adams1234",
        "123alice.adams!",
        "alice.adamsalice.adams",
        "AliceAdams-2026",
    ],
)
def test_the_persons_own_name_is_refused(password: str) -> None:
    own = ("alice.adams", "alice.adams@example.com", None, "AliceAdams", "")
    assert "own name" in refused(password, PasswordSettings(preset="custom", min_length=8), own=own)


def test_a_phrase_that_mentions_the_name_is_fine() -> None:
    check("alice has a little lamb", NIST, own=("alice", "alice@example.com"))
    check("correct-horse-battery", NIST, own=("alice", "al@example.com", "co"))


def test_what_is_no_password_is_refused_as_such() -> None:
    for bad in ("", "a" * 20 + "\n", "a" * 1025):
        with pytest.raises(Problem) as problem:
            check(bad, NIST)
        assert problem.value.code == "password.invalid"


def test_the_rules_in_words() -> None:
    assert describe(rules(NIST)) == ["At least 15 characters."]
    assert len(describe(rules(PasswordSettings(preset="classic-8")))) == 5
    assert rules(NIST, second_factor=True).min_length == password_policy.NIST_CHARACTERS_WITH_SECOND_FACTOR
