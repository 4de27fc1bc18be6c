"""Secrets, their hashes, and identifiers."""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

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


def test_ids_made_at_once_in_threads_and_after_a_fork_are_all_different() -> None:
    ids.new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(ids.new_token_id() for _ in range(600)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        theirs = told.read().split()
    os.waitpid(child, 0)
    with ThreadPoolExecutor(8) as pool:
        ours = list(pool.map(lambda _: ids.new_token_id(), range(5000)))
    assert len({*ours, *theirs}) == 5600
    assert all(len(secrets.unb64url(one)) == 16 for one in ours)
