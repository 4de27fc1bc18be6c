"""JSON with gaps says the same as JSON written at once, whatever stands around the gaps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra.json_text import Form, encode, number_gap, text_gap

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(WORDS, WORDS, st.integers(0, 2**53))
def test_a_filled_form_is_what_is_written_at_once(name: str, word: str, number: int) -> None:
    """With percent signs, quotes and other scripts around."""
    around = {name: word, "list": [word, "%s %(id)s %%"], "none": None}
    form = Form({**around, "id": text_gap("id"), "exp": number_gap("exp")})
    assert form.fill(id="A-z_0", exp=number) == encode({**around, "id": "A-z_0", "exp": number})


def test_a_gap_may_be_deep_inside() -> None:
    form = Form({"data": {"token_id": text_gap("token_id")}, "audience": [text_gap("one")]})
    assert json.loads(form.fill(token_id="t", one="o")) == {"data": {"token_id": "t"}, "audience": ["o"]}


def test_every_gap_has_to_be_filled() -> None:
    with pytest.raises(KeyError):
        Form({"id": text_gap("id")}).fill()


def test_nobody_can_write_a_gap() -> None:
    """The mark is random, another in each process."""
    mark = text_gap("id").partition(":")[0]
    assert len(mark) == 32
    assert int(mark, 16)
