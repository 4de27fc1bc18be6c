"""Verification of signed tokens, against what attackers send (RFC 8725)."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk, jwt

from app.infra import jose
from app.infra.jose import ED25519, InvalidKeys, InvalidToken, SigningKeyHandle, VerificationKey
from app.kernel.secrets import b64url

CLAIMS = {"iss": "https://id.example.com", "sub": "alice", "name": "Zoë \U0001f600", "exp": 1_900_000_000}


@pytest.fixture(scope="module")
def handles() -> dict[str, SigningKeyHandle]:
    return {alg: SigningKeyHandle.generate(alg) for alg in jose.SIGNING_ALGORITHMS}


def trusted(handle: SigningKeyHandle, **changes: Any) -> VerificationKey:
    jwk_ = {**handle.public_jwk, **changes}
    key = jose.public_key({name: value for name, value in jwk_.items() if value is not None})
    assert key is not None
    return key


def segment(value: Any) -> str:
    return b64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def forged(header: Any, claims: Any = CLAIMS, signature: bytes = b"x" * 64) -> str:
    return f"{segment(header)}.{segment(claims)}.{b64url(signature)}"


def hs256(header: dict[str, Any], key: bytes, claims: Any = CLAIMS) -> str:
    signing_input = f"{segment(header)}.{segment(claims)}"
    return f"{signing_input}.{b64url(hmac.digest(key, signing_input.encode(), 'sha256'))}"


def refusal(token: str | bytes, keys: list[VerificationKey], **options: Any) -> str:
    options.setdefault("algorithms", jose.ASYMMETRIC_ALGORITHMS)
    with pytest.raises(InvalidToken) as refused:
        jose.verify(token, keys, **options)
    return refused.value.code


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_what_is_signed_verifies(handles: dict[str, SigningKeyHandle], alg: str) -> None:
    handle = handles[alg]
    token = jose.sign(CLAIMS, handle, typ="at+jwt")
    verified = jose.verify(token, [trusted(handle)], algorithms=[alg], typ="at+jwt")
    assert verified.claims == CLAIMS
    assert verified.header == {"alg": alg, "kid": handle.kid, "typ": "at+jwt"}


@pytest.mark.parametrize(("alg", "theirs"), [("RS256", "RS256"), ("ES256", "ES256"), (ED25519, "Ed25519")])
def test_another_library_verifies_what_is_signed(
    handles: dict[str, SigningKeyHandle], alg: str, theirs: str
) -> None:
    """RFC 7515 section 7.1: the fast path writes what joserfc reads."""
    public = handles[alg].public_jwk
    token = jose.sign(CLAIMS, handles[alg], typ="JWT", extra_header={"cty": "x"})
    if alg == ED25519:
        with pytest.warns(match="EdDSA is deprecated"):
            decoded = jwt.decode(token, jwk.import_key({**public, "alg": "EdDSA"}), algorithms=["EdDSA"])
    else:
        decoded = jwt.decode(token, jwk.import_key(public), algorithms=[theirs])
    assert decoded.claims == CLAIMS
    assert decoded.header["cty"] == "x"


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_thumbprint_is_the_one_of_rfc_7638(handles: dict[str, SigningKeyHandle], alg: str) -> None:
    public = handles[alg].public_jwk
    assert handles[alg].kid == jwk.import_key(public).thumbprint()
    assert public["use"] == "sig"
    assert public["alg"] == alg
    assert not {"d", "p", "q", "k"} & set(public)


def test_thumbprint_example_of_rfc_7638() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    key = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert jose.thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_at_hash_is_the_left_half_of_the_hash() -> None:
    """OpenID Connect Core section A.3 and 3.1.3.6."""
    assert jose.at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"
    digest = hashlib.sha512(b"token").digest()
    assert jose.at_hash("token", ED25519) == jose.at_hash("token", "Ed25519") == b64url(digest[:32])


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsecured_tokens_are_refused(handles: dict[str, SigningKeyHandle], alg: str) -> None:
    """RFC 8725 section 3.2, also where a caller names the algorithm by mistake."""
    keys = [trusted(handles["RS256"])]
    assert refusal(forged({"alg": alg}, signature=b""), keys, algorithms=["RS256", alg]) in (
        "token.algorithm",
        "token.unknown_key",
    )


def test_a_public_key_is_no_hmac_secret(handles: dict[str, SigningKeyHandle]) -> None:
    """RFC 8725 section 2.1: RS256 turned into HS256 under the public key's bytes."""
    handle = handles["RS256"]
    public = handle.private_key.public_key()
    for material in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        base64.urlsafe_b64decode(handle.public_jwk["n"] + "=="),
    ):
        token = hs256({"alg": "HS256", "kid": handle.kid}, material)
        assert refusal(token, [trusted(handle)]) == "token.algorithm"
        assert refusal(token, [trusted(handle)], algorithms=["HS256", "RS256"]) == "token.unknown_key"


def test_an_algorithm_the_caller_did_not_name_is_refused(handles: dict[str, SigningKeyHandle]) -> None:
    token = jose.sign(CLAIMS, handles["RS256"], typ="JWT")
    assert refusal(token, [trusted(handles["RS256"])], algorithms=["ES256"]) == "token.algorithm"


def test_a_key_for_one_algorithm_verifies_no_other(handles: dict[str, SigningKeyHandle]) -> None:
    """An RSA key registered for PS256 accepts no RS256 signature."""
    token = jose.sign(CLAIMS, handles["RS256"], typ="JWT")
    assert refusal(token, [trusted(handles["RS256"], alg="PS256")]) == "token.unknown_key"


def test_another_kid_is_an_unknown_key(handles: dict[str, SigningKeyHandle]) -> None:
    token = jose.sign(CLAIMS, handles["ES256"], typ="JWT")
    assert refusal(token, [trusted(handles["ES256"], kid="other")]) == "token.unknown_key"
    assert jose.verify(token, [trusted(handles["ES256"], kid=None)], algorithms=["ES256"]).claims == CLAIMS


def test_a_stolen_kid_does_not_verify(handles: dict[str, SigningKeyHandle]) -> None:
    impostor = SigningKeyHandle.generate("ES256")
    impostor.kid = handles["ES256"].kid
    assert refusal(jose.sign(CLAIMS, impostor, typ="JWT"), [trusted(handles["ES256"])]) == "token.signature"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_keys_inside_the_token_are_ignored(handles: dict[str, SigningKeyHandle], member: str) -> None:
    """RFC 8725 section 3.10 and CVE-2018-0114: the sender's own key is not evidence."""
    attacker = SigningKeyHandle.generate("ES256")
    value: Any = {
        "jwk": attacker.public_jwk,
        "jku": "https://attacker.example/jwks",
        "x5u": "https://attacker.example/chain",
        "x5c": ["MIIB"],
    }[member]
    token = jose.sign(CLAIMS, attacker, typ="JWT", extra_header={member: value})
    assert refusal(token, [trusted(handles["ES256"])]) == "token.unknown_key"
    assert refusal(token, [trusted(handles["ES256"], kid=None)]) == "token.signature"
    honest = jose.sign(CLAIMS, handles["ES256"], typ="JWT", extra_header={member: value})
    assert jose.verify(honest, [trusted(handles["ES256"])], algorithms=["ES256"]).claims == CLAIMS


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"b64": True},
    ],
)
def test_critical_headers_and_unencoded_payloads_are_refused(
    handles: dict[str, SigningKeyHandle], extra: dict[str, Any]
) -> None:
    """RFC 7515 section 4.1.11, RFC 7797 section 6."""
    token = jose.sign(CLAIMS, handles["ES256"], typ="JWT", extra_header=extra)
    assert refusal(token, [trusted(handles["ES256"])]) == "token.malformed"


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (b'{"alg":"ES256","alg":"none"}', CLAIMS),
        ({"alg": "ES256"}, b'{"sub":"alice","sub":"mallory"}'),
        ({"alg": "ES256"}, b'{"a":{"b":1,"b":2}}'),
        ({"alg": "ES256"}, b'{"exp":NaN}'),
        ({"alg": "ES256"}, b'{"exp":1e999}'),
        ({"alg": "ES256"}, b'{"sub":"\\ud800"}'),
        ({"alg": "ES256"}, b'{"n":' + b"9" * 5000 + b"}"),
        ({"alg": "ES256"}, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ({"alg": "ES256"}, b'\xef\xbb\xbf{"sub":"alice"}'),
        ({"alg": "ES256"}, b'{"sub":"\xff"}'),
        ({"alg": "ES256"}, b'["sub"]'),
        ({"alg": "ES256"}, b""),
        ({"alg": "ES256"}, b'"text"'),
        (["ES256"], CLAIMS),
        ({"typ": "JWT"}, CLAIMS),
        ({"alg": 256}, CLAIMS),
        ({"alg": ["ES256"]}, CLAIMS),
        ({"alg": "ES256", "kid": 5}, CLAIMS),
    ],
)
def test_malformed_content_is_refused(handles: dict[str, SigningKeyHandle], header: Any, claims: Any) -> None:
    """RFC 7519 section 4 (unique members), RFC 8259; the signature would hold."""
    signing_input = f"{segment(header)}.{segment(claims)}".encode()
    signature = handles["ES256"]._sign(signing_input)
    assert (
        refusal(f"{signing_input.decode()}.{b64url(signature)}", [trusted(handles["ES256"])])
        == "token.malformed"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "",
        lambda t: t.rpartition(".")[0],
        lambda t: t + ".",
        lambda t: t + "=",
        lambda t: t + " ",
        lambda t: t.replace(".", "..", 1),
        lambda t: "é" + t,
        lambda t: "{" + t,
        lambda t: t.replace(".", "\n.", 1),
        lambda t: f"{t}.{t}.x",
    ],
)
def test_malformed_compact_forms_are_refused(handles: dict[str, SigningKeyHandle], change: Any) -> None:
    token = change(jose.sign(CLAIMS, handles["ES256"], typ="JWT"))
    assert refusal(token, [trusted(handles["ES256"])]) == "token.malformed"
    with pytest.raises(InvalidToken):
        jose.unverified(token)


def test_base64url_has_one_spelling(handles: dict[str, SigningKeyHandle]) -> None:
    """A signature that decodes to the same bytes is another token, and would pass a replay set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = jose.sign(CLAIMS, handles["ES256"], typ="JWT")
    other = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    assert base64.urlsafe_b64decode(other.split(".")[2] + "==") == base64.urlsafe_b64decode(
        token.split(".")[2] + "=="
    )
    assert refusal(other, [trusted(handles["ES256"])]) == "token.malformed"


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_every_changed_segment_breaks_the_signature(handles: dict[str, SigningKeyHandle], alg: str) -> None:
    header, claims, signature = jose.sign(CLAIMS, handles[alg], typ="JWT").split(".")
    keys = [trusted(handles[alg])]
    other_claims = segment({**CLAIMS, "sub": "mallory"})
    other_header = segment({"alg": alg, "kid": handles[alg].kid, "typ": "at+jwt"})
    flipped = b64url(bytes([base64.urlsafe_b64decode(signature + "==")[0] ^ 1]) + b"x" * 63)
    for token in (
        f"{header}.{other_claims}.{signature}",
        f"{other_header}.{claims}.{signature}",
        f"{header}.{claims}.{flipped}",
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:20]}",
        f"{header}.{claims}.{b64url(bytes(64))}",
    ):
        assert refusal(token, keys, algorithms=[alg]) == "token.signature"


def test_an_ecdsa_signature_in_der_is_refused(handles: dict[str, SigningKeyHandle]) -> None:
    """RFC 7518 section 3.4: R and S side by side, 64 bytes."""
    handle = handles["ES256"]
    signing_input = f"{segment({'alg': 'ES256'})}.{segment(CLAIMS)}"
    assert isinstance(handle.private_key, ec.EllipticCurvePrivateKey)
    der = handle.private_key.sign(signing_input.encode(), ec.ECDSA(SHA256()))
    assert refusal(f"{signing_input}.{b64url(der)}", [trusted(handle)]) == "token.signature"


def test_oversized_tokens_are_not_read(handles: dict[str, SigningKeyHandle]) -> None:
    token = jose.sign({"x": "y" * jose.MAX_TOKEN_BYTES}, handles["ES256"], typ="JWT")
    assert refusal(token, [trusted(handles["ES256"])]) == "token.too_large"
    assert jose.verify(token, [trusted(handles["ES256"])], algorithms=["ES256"], max_bytes=65_536).claims
    assert refusal("." * 1_000_000, []) == "token.too_large"


def test_large_headers_are_read(handles: dict[str, SigningKeyHandle]) -> None:
    token = jose.sign(
        CLAIMS, handles["ES256"], typ="JWT", extra_header={"x5c": ["M" * 3000], "vendor": {"a": 1}}
    )
    assert jose.verify(token, [trusted(handles["ES256"])], algorithms=["ES256"]).header["vendor"] == {"a": 1}


@pytest.mark.parametrize(
    ("sent", "wanted", "accepted"),
    [
        ("at+jwt", "at+jwt", True),
        ("application/at+jwt", "at+jwt", True),
        ("AT+JWT", "at+jwt", True),
        ("JWT", "at+jwt", False),
        ("logout+jwt", "at+jwt", False),
    ],
)
def test_the_type_is_checked_when_asked(
    handles: dict[str, SigningKeyHandle], sent: str, wanted: str, accepted: bool
) -> None:
    """RFC 8725 section 3.11: one kind of token does not pass for another."""
    token = jose.sign(CLAIMS, handles["ES256"], typ=sent)
    if accepted:
        assert (
            jose.verify(token, [trusted(handles["ES256"])], algorithms=["ES256"], typ=wanted).claims == CLAIMS
        )
    else:
        assert refusal(token, [trusted(handles["ES256"])], typ=wanted) == "token.type"


def test_a_missing_or_odd_type_is_refused_when_one_is_asked(handles: dict[str, SigningKeyHandle]) -> None:
    for header in ({"alg": "ES256"}, {"alg": "ES256", "typ": ["at+jwt"]}):
        assert refusal(forged(header), [trusted(handles["ES256"])], typ="at+jwt") == "token.type"


def test_ps256_of_a_client_verifies() -> None:
    private = rsa.generate_private_key(65537, 2048)
    handle = SigningKeyHandle("RS256", private)
    signing_input = f"{segment({'alg': 'PS256'})}.{segment(CLAIMS)}"
    pss = padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size)
    token = f"{signing_input}.{b64url(private.sign(signing_input.encode(), pss, SHA256()))}"
    assert jose.verify(token, [trusted(handle, alg=None)], algorithms=["PS256"]).claims == CLAIMS
    assert refusal(token, [trusted(handle, alg="RS256")]) == "token.unknown_key"


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("registered", ["EdDSA", "Ed25519", None])
def test_both_names_of_ed25519_are_read(alg: str, registered: str | None) -> None:
    """RFC 8037 and RFC 9864 name the same signature."""
    private = Ed25519PrivateKey.generate()
    signing_input = f"{segment({'alg': alg})}.{segment(CLAIMS)}"
    token = f"{signing_input}.{b64url(private.sign(signing_input.encode()))}"
    key = trusted(SigningKeyHandle(ED25519, private), alg=registered)
    assert jose.verify(token, [key], algorithms=jose.ASYMMETRIC_ALGORITHMS).claims == CLAIMS


def test_hs256_with_a_client_secret() -> None:
    secret = b"k" * 32
    key = jose.symmetric_key(secret)
    assert jose.verify(hs256({"alg": "HS256"}, secret), [key], algorithms=["HS256"]).claims == CLAIMS
    assert refusal(hs256({"alg": "HS256"}, b"j" * 32), [key], algorithms=["HS256"]) == "token.signature"
    assert refusal(hs256({"alg": "HS256"}, secret), [key]) == "token.algorithm"
    assert refusal(hs256({"alg": "HS512"}, secret), [key], algorithms=["HS512"]) == "token.unknown_key"
    with pytest.raises(InvalidKeys):
        jose.symmetric_key(b"k" * 31)


def test_keys_are_read_back_from_their_der_form(handles: dict[str, SigningKeyHandle]) -> None:
    for alg, handle in handles.items():
        again = SigningKeyHandle.from_der(alg, handle.to_der())
        assert again.kid == handle.kid
        token = jose.sign(CLAIMS, again, typ="JWT")
        assert jose.verify(token, [trusted(handle)], algorithms=[alg]).claims == CLAIMS


def test_a_handle_shows_nothing_of_its_key(handles: dict[str, SigningKeyHandle]) -> None:
    assert repr(handles["ES256"]) == f"SigningKeyHandle(ES256, {handles['ES256'].kid})"


def test_a_key_does_not_sign_for_another_algorithm(handles: dict[str, SigningKeyHandle]) -> None:
    with pytest.raises(ValueError, match="not one of"):
        SigningKeyHandle("RS256", handles["ES256"].private_key)
    with pytest.raises(ValueError, match="not one of"):
        SigningKeyHandle("ES256", ec.generate_private_key(ec.SECP384R1()))


def test_claims_that_are_not_json_are_not_signed(handles: dict[str, SigningKeyHandle]) -> None:
    with pytest.raises(TypeError):
        jose.sign({"exp": object()}, handles["ES256"], typ="JWT")


def test_the_header_of_a_type_is_made_once_and_extra_members_do_not_stick(
    handles: dict[str, SigningKeyHandle],
) -> None:
    handle = handles["ES256"]
    jose.sign(CLAIMS, handle, typ="once", extra_header={"jku": "x"})
    token = jose.sign(CLAIMS, handle, typ="once")
    assert jose.unverified(token).header == {"alg": "ES256", "typ": "once", "kid": handle.kid}
    assert jose.sign(CLAIMS, handle, typ="once").split(".")[0] == token.split(".")[0]
    stubborn = jose.sign(CLAIMS, handle, typ="once", extra_header={"alg": "none", "kid": "other"})
    assert jose.unverified(stubborn).header["alg"] == "ES256"
    assert jose.unverified(stubborn).header["kid"] == handle.kid
