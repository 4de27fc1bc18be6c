"""Secrets, their hashes, and identifiers."""

import time
import uuid

import pytest

from app.kernel import ids, secrets


def test_a_secret_has_256_bits_and_no_two_are_alike() -> None:
    made = {secrets.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(secrets.unb64url(one)) == 32 for one in made)


@pytest.mark.parametrize("text", ["AB==", "A", "A+/_", "AAB", "é", "QQ=", "QR"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):
        secrets.unb64url(text)


def test_comparison_takes_any_text() -> None:
    assert secrets.equal("päss", "päss")
    assert not secrets.equal("päss", "pass")
    assert not secrets.equal("\ud800", "x")


def test_row_identifiers_are_uuids_of_version_7_in_order_of_time() -> None:
    first = ids.new_id()
    time.sleep(0.002)
    second = ids.new_id()
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert first < second


def test_subjects_tell_nothing_about_time() -> None:
    assert uuid.UUID(ids.new_subject()).version == 4
