"""Pairwise subjects: another for every sector and tenant, the same every time, and readable to us alone."""

import os

from app.infra.pairwise import LENGTH, PairwiseSubjects
from app.kernel import ids

SALT = os.urandom(32)
SUBJECTS = PairwiseSubjects(lambda: SALT)
PERSON = ids.new_id()


def test_a_subject_is_the_same_every_time_and_in_every_process() -> None:
    first = SUBJECTS.of("t", "a.example", PERSON)
    assert first == PairwiseSubjects(lambda: SALT).of("t", "a.example", PERSON)
    assert len(first) == LENGTH
    assert PERSON not in first


def test_sectors_tenants_and_people_have_different_ones() -> None:
    made = {
        SUBJECTS.of(tenant, sector, person)
        for tenant in ("t", "u")
        for sector in ("a.example", "b.example")
        for person in (PERSON, ids.new_id())
    }
    assert len(made) == 8


def test_we_read_our_own() -> None:
    assert SUBJECTS.user_id("t", SUBJECTS.of("t", "a.example", PERSON)) == PERSON
    assert SUBJECTS.user_id("t", PERSON) == PERSON, "public"
    assert SUBJECTS.of("t", None, PERSON) == PERSON


def test_others_mean_nobody() -> None:
    ours = SUBJECTS.of("t", "a.example", PERSON)
    changed = ("A" if ours[0] != "A" else "B") + ours[1:]
    assert SUBJECTS.user_id("t", changed) is None
    assert SUBJECTS.user_id("u", ours) is None, "another tenant's"
    assert PairwiseSubjects(lambda: os.urandom(32)).user_id("t", ours) is None
    assert SUBJECTS.user_id("t", "ä" * LENGTH) is None
