"""Reading an apply file: whatever it says, it is understood or refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.apply import document
from app.domain.apply.schema import ApplyFile

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["absent", "HOME", "web"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["env", "file", "name", "state", "tokens", "access_seconds"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
KEYS = (
    "state slug name host settings roles groups resources clients users client_id client_secret redirect_uris jwks "
    "identifier scopes username password email claims permissions description env file"
).split()
OBJECTS = st.dictionaries(
    st.sampled_from(KEYS), VALUES | st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES))
)


def read_file(path: str) -> str:
    if "\0" in path:
        raise OSError("no such name")
    return "[1, 2]\n"


SOURCES = document.Sources({"HOME": "/root"}, read_file)


def read(text: str) -> ApplyFile:
    return document.read(text, name="file", sources=SOURCES)[0]


def faults_of(text: str) -> list[str]:
    """The sentences of the refusal; none when the text is fine."""
    try:
        read(text)
    except document.Refused as refusal:
        return refusal.sentences or ["nothing told"]
    return []


@given(st.lists(OBJECTS, max_size=2) | VALUES)
def test_anything_is_read_or_refused_with_its_place(tenants: Any) -> None:
    told = faults_of(json.dumps({"tenants": tenants}))
    assert all(sentence.startswith("file:1: ") for sentence in told)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    assert all(sentence.startswith("file:") for sentence in faults_of(text))


def refused(text: str) -> list[str]:
    with pytest.raises(document.Refused) as refusal:
        read(text)
    return refusal.value.sentences


WILDCARD = "https://a.example/*: redirect URIs are compared exactly; there are no wildcards"


def test_every_kind_of_fault_is_told_at_once() -> None:
    assert refused(
        """\
tenants:
  - slug: acme
    colour: blue
    settings:
      tokens: {access_seconds: 1, nonsense: 2}
    clients:
      - client_id: web
        redirect_uris: ["https://a.example/*"]
      - client_id: web
        grant_types: password
    users:
      - email: a@example.com
      - username: Bob
      - username: bob
"""
    ) == [
        "file:3: tenants[0].colour: there is no such key",
        "file:5: tenants[0].settings.tokens.access_seconds: Input should be greater than or equal to 10",
        "file:5: tenants[0].settings.tokens.nonsense: there is no such key",
        f"file:8: tenants[0].clients[0].redirect_uris: {WILDCARD}",
        "file:9: tenants[0].clients[1].client_id: web is in the file twice",
        "file:10: tenants[0].clients[1].grant_types: a list is wanted",
        "file:12: tenants[0].users[0].username: has to be given",
        "file:14: tenants[0].users[2].username: bob is in the file twice",
    ]


def test_text_is_not_taken_for_numbers_unless_it_was_substituted() -> None:
    resource = (
        'tenants: [{slug: a, resources: [{identifier: "https://a.example", access_token_seconds: %s}]}]'
    )
    assert refused(resource % '"300"')
    sources = document.Sources({"N": "300"}, read_file)
    entries, _ = document.read(resource % "{env: N}", name="file", sources=sources)
    assert entries.tenants[0].resources[0].access_token_seconds == 300
    sources = document.Sources({"N": "many"}, read_file)
    with pytest.raises(document.Refused, match="access_token_seconds"):
        document.read(resource % "{env: N}", name="file", sources=sources)


def test_a_password_of_digits_stays_text() -> None:
    sources = document.Sources({"P": "123456789012345"}, read_file)
    entries, _ = document.read(
        "tenants: [{slug: a, users: [{username: x, password: {env: P}}]}]", name="file", sources=sources
    )
    assert entries.tenants[0].users[0].password == "123456789012345"


def test_one_object_is_read_in_its_own_lines() -> None:
    with pytest.raises(document.Refused) as refusal:
        document.read_object(
            "client_id: web\nshoe: 43\n", name="web.yaml", sources=SOURCES, section="clients", tenant="acme"
        )
    assert refusal.value.sentences == ["web.yaml:2: shoe: there is no such key"]


def test_slips_are_told_with_what_is_wanted() -> None:
    """The member that was meant, and the grants there are in place of a pattern."""
    urn = "urn:ietf:params:oauth:grant-type"
    own = "authorization_code, refresh_token, client_credentials, implicit"
    grants = f"{own}, {urn}:device_code, {urn}:token-exchange"
    assert refused(
        "tenants:\n- slug: default\n  clients:\n  - client_id: web\n"
        "    redirect_uri: [https://a.example/cb]\n    grant_types: [authorisation_code]\n"
    ) == [
        "file:5: tenants[0].clients[0].redirect_uri: there is no such key; did you mean redirect_uris?",
        (
            f"file:6: tenants[0].clients[0].grant_types[0]: one of {grants} is wanted, or another grant's URN; "
            "did you mean authorization_code?"
        ),
    ]


def test_misspelt_keys_are_told_with_those_of_their_place() -> None:
    assert refused(
        "tenants:\n- slug: default\n  settings:\n    brandng: {}\n    branding: {colours: {brnd: '#123456'}}\n"
        "  clients:\n  - client_id: web\n    token_endpoint_auth_method: client_secret_basci\n    stat: present\n"
        "  rolls: []\n"
    ) == [
        "file:4: tenants[0].settings.brandng: there is no such key; did you mean branding?",
        "file:5: tenants[0].settings.branding.colours.brnd: there is no such key; did you mean brand?",
        (
            "file:8: tenants[0].clients[0].token_endpoint_auth_method: Input should be 'none', 'client_secret_basic', "
            "'client_secret_post', 'private_key_jwt', 'client_secret_jwt', 'tls_client_auth' or "
            "'self_signed_tls_client_auth'; did you mean client_secret_basic?"
        ),
        "file:9: tenants[0].clients[0].stat: there is no such key; did you mean state?",
        "file:10: tenants[0].rolls: there is no such key; did you mean roles?",
    ]


def test_what_belongs_to_a_tenant_is_sent_there() -> None:
    where = "there is no such key here: it belongs to a tenant (tenants: [{slug: default, ...}])"
    assert f"file:1: clients: {where}" in refused("clients: []\n")


def test_every_bad_redirect_uri_is_told() -> None:
    (told,) = refused(
        "tenants: [{slug: a, clients: [{client_id: web, redirect_uris: ['https://a.example/*', 'ftp://b.example']}]}]"
    )
    assert "https://a.example/*" in told
    assert "ftp://b.example" in told
