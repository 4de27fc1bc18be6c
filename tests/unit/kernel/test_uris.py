"""Comparing URIs: RFC 8252 section 7.3, RFC 9700 section 2.1, RFC 8707 section 2."""

import pytest

from app.kernel import uris


@pytest.mark.parametrize(
    ("requested", "registered", "native", "matches"),
    [
        ("https://a.example/cb", "https://a.example/cb", False, True),
        ("https://a.example/cb/", "https://a.example/cb", False, False),
        ("https://a.example/CB", "https://a.example/cb", False, False),
        ("https://A.example/cb", "https://a.example/cb", False, False),
        ("https://a.example/cb?x=1", "https://a.example/cb", False, False),
        ("https://a.example:443/cb", "https://a.example/cb", False, False),
        ("http://127.0.0.1:5123/cb", "http://127.0.0.1/cb", False, True),
        ("http://127.0.0.1:5123/cb", "http://127.0.0.1:9/cb", False, True),
        ("http://[::1]:5123/cb", "http://[::1]/cb", False, True),
        ("http://127.0.0.1:5123/other", "http://127.0.0.1/cb", False, False),
        ("https://127.0.0.1:5123/cb", "https://127.0.0.1/cb", False, False),
        ("http://127.0.0.2:5123/cb", "http://127.0.0.1/cb", False, False),
        ("http://user@127.0.0.1:5/cb", "http://127.0.0.1/cb", False, False),
        ("http://127.0.0.1:5@evil.example/cb", "http://127.0.0.1/cb", False, False),
        ("http://127.0.0.1.evil.example/cb", "http://127.0.0.1/cb", False, False),
        ("http://localhost:5123/cb", "http://localhost/cb", False, False),
        ("http://localhost:5123/cb", "http://localhost/cb", True, True),
        ("http://localhost:5123/cb", "http://127.0.0.1/cb", True, False),
    ],
)
def test_redirect_uris_are_compared_exactly_but_for_a_loopback_port(
    requested: str, registered: str, native: bool, matches: bool
) -> None:
    assert uris.redirect_uri_matches(requested, registered, native_public=native) is matches


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("HTTPS://API.example.com:443/v1/", "https://api.example.com/v1/"),
        ("https://api.example.com/v1?x=Y", "https://api.example.com/v1?x=Y"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("urn:example:api", "urn:example:api"),
        ("https://api.example.com/#x", None),
        ("https://user@api.example.com/", None),
        ("api.example.com", None),
        ("https://", None),
        ("https://a b/", None),
        ("https://api.example.com/\r\nX: y", None),
        ("https://api.example.com:99999/", None),
    ],
)
def test_a_resource_indicator_has_one_spelling(uri: str, canonical: str | None) -> None:
    assert uris.canonical_resource(uri) == canonical


@pytest.mark.parametrize(
    "uri", ["https://a\\b/", "https://a/\x00", "https://ä.example/", "/path", "", "https://a:x/"]
)
def test_what_parsers_disagree_about_is_no_uri(uri: str) -> None:
    assert uris.split(uri) is None


def test_parameters_are_added_to_a_query_that_stays() -> None:
    assert uris.with_query("https://a/cb", [("code", "x y")]) == "https://a/cb?code=x+y"
    assert uris.with_query("https://a/cb?keep=1", [("code", "1")]) == "https://a/cb?keep=1&code=1"
    assert uris.with_query("https://a/cb?", [("code", "1")]) == "https://a/cb?code=1"
    assert uris.with_query("https://a/cb", []) == "https://a/cb"
