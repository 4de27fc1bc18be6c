"""Other people's code and tokens: devices, exchange, and tokens shaped like those of GitHub Actions and Kubernetes.

The issuers are imitated on this machine: discovery and keys over the wire, fetched by the server itself.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import PRODUCTION
from tests.interop import deployment, scripts
from tests.live import LiveServer, new_deployment
from tests.person import Person
from tests.protocol.key_server import KeyServer
from tests.protocol.trusted import Issuer
from tests.servers import RedisServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

GRANT = "urn:ietf:params:oauth:grant-type:"
AUDIENCE = "https://watchword.example"


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A live server that may read from this machine."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            servers["redis"] = stack.enter_context(RedisServer())
            servers["postgres"] = request.getfixturevalue("postgres_server")
        folder = tmp_path_factory.mktemp("workloads")
        settings = stack.enter_context(
            new_deployment(storage, folder, fetch_allow=("127.0.0.0/8",), **servers)
        )
        yield stack.enter_context(LiveServer(settings))


@contextlib.contextmanager
def publishing(alg: str) -> Iterator[Issuer]:
    """An issuer at a loopback address: its discovery document and its keys are one and the same answer."""
    with KeyServer({}) as keys:
        issuer = Issuer(keys.url.removesuffix("/jwks"), alg)
        keys.document = {"issuer": issuer.issuer, "jwks_uri": keys.url, **issuer.jwks}
        yield issuer


def of_job(issuer: Issuer, **claims: Any) -> str:
    """Shaped like a token of GitHub Actions."""
    said = {
        "sub": "repo:example/shop:ref:refs/heads/main",
        "ref": "refs/heads/main",
        "sha": "0" * 40,
        "repository": "example/shop",
        "repository_owner": "example",
        "repository_visibility": "private",
        "run_id": "1234567890",
        "run_attempt": "1",
        "workflow": "deploy",
        "event_name": "push",
        "ref_type": "branch",
        "environment": "production",
        "job_workflow_ref": "example/shop/.github/workflows/deploy.yml@refs/heads/main",
        "runner_environment": "github-hosted",
        **claims,
    }
    return issuer.token(AUDIENCE, header={"x5t": "abc"}, **said)


def of_pod(issuer: Issuer, namespace: str = "prod") -> str:
    """Shaped like a projected service account token of Kubernetes."""
    return issuer.token(
        [AUDIENCE],
        header={"typ": None},
        sub=f"system:serviceaccount:{namespace}:orders",
        **{
            "kubernetes.io": {
                "namespace": namespace,
                "node": {"name": "node-1", "uid": "n"},
                "pod": {"name": "orders-5d", "uid": "p"},
                "serviceaccount": {"name": "orders", "uid": "s"},
            }
        },
    )


def claims_of(token: str) -> dict[str, Any]:
    from app.infra import jose

    return jose.unverified(token).claims


def test_tokens_of_ci_systems_and_clusters_are_exchanged_for_ours(server: LiveServer) -> None:
    """A build job by the JWT bearer grant and by token exchange; a pod by client credentials."""
    with publishing("RS256") as ci, publishing("RS256") as cluster:
        job = {"client_id": "deployer", "scope": "read", "client_secret": deployment.SECRET}
        job |= {"grant_types": [GRANT + "jwt-bearer", GRANT + "token-exchange"]}
        pod = {
            "client_id": "orders",
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "private_key_jwt",
            "scope": "read",
            "federated_credentials": [
                {
                    "issuer": cluster.issuer,
                    "subject": "system:serviceaccount:prod:orders",
                    "audience": AUDIENCE,
                    "claims": {"kubernetes.io/namespace": "prod"},
                }
            ],
        }
        document = deployment.document(job, pod)
        document["tenants"][0]["trusted_issuers"] = [
            {
                "issuer": ci.issuer,
                "name": "CI",
                "audiences": [AUDIENCE],
                "rules": [
                    {
                        "name": "main branch",
                        "match": {"repository": "example/shop", "ref": "refs/heads/main"},
                        "client": "deployer",
                        "client_authentication": "none",
                    }
                ],
            },
            {"issuer": cluster.issuer, "name": "Cluster", "single_use": False},
        ]
        server.apply(document)
        time.sleep(1)  # A running server sees the change within a second.
        form = {"grant_type": GRANT + "jwt-bearer", "assertion": of_job(ci)}
        answer = server.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        assert claims_of(answer.json()["access_token"])["sub"] == "deployer"
        assert server.post("/token", data=form).json()["error"] == "invalid_grant"
        branch = {**form, "assertion": of_job(ci, ref="refs/heads/topic")}
        assert server.post("/token", data=branch).json()["error"] == "invalid_grant"

        exchange = {
            "grant_type": GRANT + "token-exchange",
            "subject_token": of_job(ci),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        answer = server.post("/token", data=exchange, auth=("deployer", deployment.SECRET))
        assert answer.status_code == 200, answer.text
        assert claims_of(answer.json()["access_token"])["scope"] == "read"

        assertion = {
            "grant_type": "client_credentials",
            "client_id": "orders",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": of_pod(cluster),
        }
        answers = [server.post("/token", data=assertion) for _ in range(2)]
        assert [a.status_code for a in answers] == [200, 200], answers[0].text
        other = {**assertion, "client_assertion": of_pod(cluster, "test")}
        assert server.post("/token", data=other).json()["error"] == "invalid_client"
        listed = json.loads(server.watchword("connection", "list", "--json"))
        assert {ci.issuer, cluster.issuer} <= set(listed)


def test_a_token_of_another_watchword_is_exchanged_for_ours(server: LiveServer) -> None:
    """Its keys found by discovery and fetched over the wire; an access token of its own kind, for us alone."""
    exchanged = {
        "client_id": "partner-gate",
        "client_secret": deployment.SECRET,
        "grant_types": [GRANT + "token-exchange"],
        "scope": "read",
    }
    document = deployment.document(exchanged)
    theirs = f"{server.base_url}/t/partner"
    document["tenants"][0]["trusted_issuers"] = [
        {
            "issuer": theirs,
            "name": "Partner",
            "audiences": [AUDIENCE],
            "rules": [{"name": "caller", "match": {"client_id": "caller"}, "client": "partner-gate"}],
        }
    ]
    document["tenants"].append(
        {
            "slug": "partner",
            "name": "Partner",
            "resources": [
                {"identifier": uri, "name": uri, "scopes": [{"name": name, "description": name}]}
                for uri, name in ((AUDIENCE, "call"), ("https://elsewhere.example", "else"))
            ],
            "clients": [
                {
                    "client_id": name,
                    "client_secret": deployment.SECRET,
                    "grant_types": ["client_credentials"],
                    "scope": "call else",
                }
                for name in ("caller", "another")
            ],
        }
    )
    server.apply(document)
    time.sleep(1)  # A running server sees the change within a second.

    def theirs_of(client_id: str, resource: str) -> str:
        form = {"grant_type": "client_credentials", "resource": resource}
        answer = server.post("/t/partner/token", data=form, auth=(client_id, deployment.SECRET))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def ask(token: str) -> Any:
        form = {
            "grant_type": GRANT + "token-exchange",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        return server.post("/token", data=form, auth=("partner-gate", deployment.SECRET))

    answer = ask(theirs_of("caller", AUDIENCE))
    assert answer.status_code == 200, answer.text
    claims = claims_of(answer.json()["access_token"])
    assert (claims["iss"], claims["sub"], claims["scope"]) == (server.base_url, "partner-gate", "read")
    for client_id, resource in (("another", AUDIENCE), ("caller", "https://elsewhere.example")):
        wrong = ask(theirs_of(client_id, resource))
        assert wrong.json()["error_description"] == "The subject token is not valid."


@pytest.mark.parametrize("script", ["device_and_exchange", "device_and_exchange_crosswise"])
def test_openid_client_and_oauth4webapi_let_a_device_in_and_exchange_its_token(
    server: LiveServer, script: str
) -> None:
    """Unchanged, each library in both roles: the device flow to its end, a delegation, and no scope too many."""
    device = {
        "client_id": "tv",
        "client_name": "TV",
        "token_endpoint_auth_method": "none",
        "grant_types": [GRANT + "device_code", "refresh_token"],
        "scope": "openid read",
    }
    service = {
        "client_id": "service",
        "client_secret": deployment.SECRET,
        "grant_types": ["client_credentials", GRANT + "token-exchange"],
        "scope": "read",
        "resource_server_for": [deployment.RESOURCE],
        "token_exchange": {"delegation": True},
    }
    server.apply(deployment.document(device, service))
    time.sleep(1)
    found = scripts.run(
        script,
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=server.base_url,
        device_id="tv",
        service_id="service",
        service_secret=deployment.SECRET,
        scope="openid read",
        resource=deployment.RESOURCE,
    )
    assert found["page"] == "/device/done"
    if script == "device_and_exchange":
        assert found["again"] in ("slow_down", "invalid_grant"), (
            "the code is good once, and asked for too soon"
        )
    else:
        assert found["early"] == "authorization_pending"
    assert found["subject"]["sub"] == found["sub"]
    assert found["exchanged"]["sub"] == found["sub"]
    assert found["exchanged"]["act"] == {"sub": "service"}
    assert found["issued"] == "urn:ietf:params:oauth:token-type:access_token"
    assert found["wider"] == "invalid_scope"
