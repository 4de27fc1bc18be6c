"""Reading key sets that clients publish (RFC 7517)."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk

from app.infra import jose
from app.infra.jose import InvalidKeys, SigningKeyHandle


@pytest.fixture(scope="module")
def public() -> dict[str, dict[str, Any]]:
    return {alg: SigningKeyHandle.generate(alg).public_jwk for alg in jose.SIGNING_ALGORITHMS}


def test_a_key_set_is_read_as_text_bytes_and_object(public: dict[str, dict[str, Any]]) -> None:
    document = {"keys": list(public.values())}
    for form in (document, json.dumps(document), json.dumps(document).encode()):
        keys = jose.parse_jwks(form)
        assert [key.kid for key in keys] == [each["kid"] for each in public.values()]
    assert keys[0].algorithms == {"RS256"}


def test_members_say_what_a_key_is_for(public: dict[str, dict[str, Any]]) -> None:
    bare = {k: v for k, v in public["RS256"].items() if k != "alg"}
    key = jose.public_key(bare)
    assert key is not None
    assert key.algorithms == {"RS256", "PS256"}
    assert jose.public_key({**bare, "use": "enc"}) is None
    assert jose.public_key({**bare, "key_ops": ["encrypt"]}) is None
    assert jose.public_key({**bare, "alg": "RSA-OAEP"}) is None
    assert jose.public_key({**bare, "alg": "RS512"}) is None


def test_keys_of_unknown_kinds_are_passed_over(public: dict[str, dict[str, Any]]) -> None:
    """RFC 7517 section 5: implementations SHOULD ignore what they do not understand."""
    unknown = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {**public["RS256"], "use": "enc", "kid": "encryption"},
    ]
    keys = jose.parse_jwks({"keys": [*unknown, public["ES256"]]})
    assert [key.kid for key in keys] == [public["ES256"]["kid"]]
    with pytest.raises(InvalidKeys, match="no signature key"):
        jose.parse_jwks({"keys": unknown})


@pytest.mark.parametrize("key_type", ["RSA", "EC", "OKP", "oct"])
def test_private_and_symmetric_keys_are_refused(public: dict[str, dict[str, Any]], key_type: str) -> None:
    """RFC 7591 section 2: `jwks` is public. One leaked key spoils the set."""
    sizes: dict[str, Any] = {"RSA": 2048, "EC": "P-256", "OKP": "Ed25519", "oct": 256}
    private = jwk.JWKRegistry.generate_key(key_type, sizes[key_type]).as_dict(private=True)
    with pytest.raises(InvalidKeys, match="private or symmetric"):
        jose.parse_jwks({"keys": [public["ES256"], private]})


def test_weak_and_absurd_rsa_keys_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
    for n, e in (
        (weak, 65537),
        (weak << 8000 | 1, 65537),
        ((1 << 2048) - 1, (1 << 33) + 1),
        ((1 << 2048) - 1, 2),
    ):
        members = {
            name: value.to_bytes((value.bit_length() + 7) // 8) for name, value in (("n", n), ("e", e))
        }
        encoded = {
            name: base64.urlsafe_b64encode(value).rstrip(b"=").decode() for name, value in members.items()
        }
        with pytest.raises(InvalidKeys):
            jose.public_key({"kty": "RSA", **encoded})


@pytest.mark.parametrize(
    "change",
    [
        {"x": "AAAA"},
        {"x": None},
        {"x": 5},
        {"x": "!!!!"},
        {"y": "A" * 43},
        {"kid": 7},
        {"crv": ["P-256"]},
        {"kty": None},
        {"key_ops": 5},
    ],
)
def test_malformed_keys_are_refused(public: dict[str, dict[str, Any]], change: dict[str, Any]) -> None:
    """A point that is not on its curve among them (RFC 8725 section 3.4)."""
    with pytest.raises(InvalidKeys):
        jose.public_key({**public["ES256"], **change})


def test_odd_members_we_do_not_read_do_no_harm(public: dict[str, dict[str, Any]]) -> None:
    assert jose.public_key({**public["ES256"], "x5c": 5, "x5u": {}, "exp": "never"}) is not None
    assert jose.public_key({**public["ES256"], "alg": ["ES256"]}) is None
    assert jose.public_key({**public["ES256"], "use": ["sig"]}) is None


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"keys":{}}',
        '{"keys":[1]}',
        '{"keys":[]}',
        '{"keys":[],"keys":[]}',
        '{"keys":' + "[" * 3000 + "]" * 3000 + "}",
        b"\xff\xfe",
        " " * (jose.MAX_TOKEN_BYTES * 5),
    ],
)
def test_malformed_sets_are_refused(document: str | bytes) -> None:
    with pytest.raises(InvalidKeys):
        jose.parse_jwks(document)


def test_a_set_has_at_most_twenty_keys_and_no_kid_twice(public: dict[str, dict[str, Any]]) -> None:
    keys = [{**public["ES256"], "kid": str(number)} for number in range(21)]
    assert len(jose.parse_jwks({"keys": keys[:20]})) == 20
    with pytest.raises(InvalidKeys, match="more than 20"):
        jose.parse_jwks({"keys": keys})
    with pytest.raises(InvalidKeys, match="same `kid`"):
        jose.parse_jwks({"keys": [keys[0], {**public["RS256"], "kid": "0"}]})
