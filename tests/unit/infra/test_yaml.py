"""The strict reader of YAML and JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra import yaml


def test_core_schema_of_yaml_1_2() -> None:
    """YAML 1.2.2 section 10.3.2: `yes`, `012:30` and dates are text, `0o17` is a number."""
    text = (
        "a: yes\nb: 0o17\nc: 010\nd: 2020-01-01\ne: null\nf: 1_000\n"
        "g: 12:30:45\nh: 1.5\ni: true\nj:\nk: 0x1F\nl: !!str 12"
    )
    assert yaml.load(text) == {
        "a": "yes",
        "b": 15,
        "c": 10,
        "d": "2020-01-01",
        "e": None,
        "f": "1_000",
        "g": "12:30:45",
        "h": 1.5,
        "i": True,
        "j": None,
        "k": 31,
        "l": "12",
    }


def test_lines_are_those_of_the_keys() -> None:
    document = yaml.parse("a:\n  b: 1\n  c:\n    - x\n    - d: 2\n")
    assert document.line_of(("a", "b")) == 2
    assert document.line_of(("a", "c", 1, "d")) == 5
    assert document.line_of(("a", "c", 1, "missing")) == 5
    assert document.line_of(("elsewhere",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "twice"),
        ("a:\n  b: &x 1\nc: *x", 2, "anchors"),
        ("a: !!python/object:os.system 1", 1, "tag"),
        ('a: !!int "12"', 1, "tag"),
        ("a: !!binary aGVsbG8=", 1, "tag"),
        ("1: a", 1, "key has to be text"),
        ("[a, b]: c", 1, "key has to be text"),
        ("a: .inf", 1, "finite"),
        ("a: 1.0e999", 1, "finite"),
        ("a: 1\n---\nb: 2", 2, "document"),
        ("a: [1", 1, "expected"),
        (r'a: "\ud800"', 1, "surrogate"),
        ("a: *x", 1, "alias"),
        ("[" * 60 + "]" * 60, 1, "nested"),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(yaml.YamlError) as refusal:
        yaml.parse(text)
    assert refusal.value.line == line
    assert message in refusal.value.message


def test_bombs_are_refused() -> None:
    with pytest.raises(yaml.YamlError, match="larger"):
        yaml.parse("a" * (yaml.MAX_BYTES + 1))
    with pytest.raises(yaml.YamlError):
        yaml.parse("[" * 100_000)


def test_an_empty_text_is_nothing() -> None:
    assert yaml.load("") is None
    assert yaml.load("# only a comment\n") is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_is_read_as_json(value: object) -> None:
    """YAML 1.2 was made so that every JSON text is YAML."""
    assert yaml.load(json.dumps(value)) == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        yaml.parse(text)
    except yaml.YamlError:
        return
