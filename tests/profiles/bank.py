"""The clients of the FAPI plans, in every variant: how they authenticate, and what their tokens are bound to."""

import base64
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from werkzeug.test import TestResponse

from app.domain.tenants import TenantContext
from app.infra.signing import SigningKeyHandle
from tests.conftest import Http
from tests.profiles import front as fronts
from tests.profiles.front import CERTIFICATE, Front
from tests.protocol import banks
from tests.protocol.browserless import Person
from tests.protocol.certified import Certified, certified

Authentication = Literal["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]
Binding = Literal["dpop", "mtls"]
AnyTest = TypeVar("AnyTest", bound=Callable[..., Any])


@dataclass(frozen=True)
class Variant:
    """One way the plan is run."""

    front: str
    authentication: Authentication = "private_key_jwt"
    binding: Binding = "dpop"

    def __str__(self) -> str:
        return f"{self.front}-{self.authentication}-{self.binding}"

    @property
    def shows_certificate(self) -> bool:
        """Whether its connections are made with one."""
        return self.authentication != "private_key_jwt" or self.binding == "mtls"


VARIANTS = (
    Variant(fronts.DIRECT),
    Variant(fronts.NGINX),
    Variant(fronts.NGINX, binding="mtls"),
    Variant(fronts.NGINX, "tls_client_auth"),
    Variant(fronts.NGINX, "tls_client_auth", "mtls"),
    Variant(fronts.NGINX, "self_signed_tls_client_auth", "mtls"),
)


def only(
    *, authentication: Authentication | None = None, binding: Binding | None = None
) -> Callable[[AnyTest], AnyTest]:
    """The plan runs this module in some of the variants alone: those about proofs, or about assertions."""

    def choose(function: AnyTest) -> AnyTest:
        function.variants = tuple(  # type: ignore[attr-defined]
            v for v in VARIANTS if authentication in (None, v.authentication) and binding in (None, v.binding)
        )
        return function

    return choose


_numbers = itertools.count(1)


@dataclass
class Bank(banks.Bank):
    """A client of the plan. It shows its certificate where its variant has one."""

    variant: Variant = VARIANTS[0]
    certificate: Certified | None = None

    @classmethod
    def at(cls, front: Front, tenant: TenantContext, http: Http, variant: Variant, **metadata: Any) -> "Bank":
        """Register one."""
        key, shown = SigningKeyHandle.generate(metadata.pop("alg", "ES256")), None
        keys = [key.public_jwk]
        said: dict[str, Any] = {"token_endpoint_auth_method": variant.authentication}
        if variant.authentication == "self_signed_tls_client_auth":
            shown = certified()
            keys.append(shown.jwk)
        elif variant.shows_certificate:
            name = f"client-{next(_numbers)}"
            shown = front.clients.issue(name)
            if variant.authentication == "tls_client_auth":
                said["tls_client_auth_subject_dn"] = f"CN={name},O=Example\\, Inc"
        bound_by = "tls_client_certificate_bound" if variant.binding == "mtls" else "dpop_bound"
        said |= {f"{bound_by}_access_tokens": True, "jwks": {"keys": keys}}
        bank = cls.open(front.services, tenant, http, **{**said, **metadata})
        bank.key, bank.variant, bank.certificate = key, variant, shown
        return bank

    @property
    def token_type(self) -> str:
        """What its access tokens are called."""
        return "DPoP" if self.variant.binding == "dpop" else "Bearer"

    @property
    def confirmation(self) -> dict[str, str]:
        """What they have to be bound to."""
        if self.variant.binding == "dpop":
            return {"jkt": self.proof_key.kid}
        assert self.certificate is not None
        digest = hashlib.sha256(self.certificate.der).digest()
        return {"x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}

    def assertion(self, key: SigningKeyHandle | None = None, **changes: Any) -> dict[str, str]:
        """Client authentication for one request; by certificate nothing but the name is said."""
        if self.variant.authentication == "private_key_jwt":
            return super().assertion(key, **changes)
        return {"client_id": self.client_id}

    def post(
        self,
        path: str,
        form: dict[str, Any],
        *,
        proof: bool = False,
        key: SigningKeyHandle | None = None,
        certificate: Certified | None = None,
        **about: Any,
    ) -> TestResponse:
        """A form, with what proves possession if `proof` says so; a certificate that authenticates comes along.

        At the token endpoint nothing of it comes where there is no proof of possession.
        """
        by_proof = proof and self.variant.binding == "dpop"
        authenticates = self.variant.authentication != "private_key_jwt"
        shows = (proof and self.variant.binding == "mtls") or (
            authenticates and (path != "/token" or proof or self.variant.binding == "dpop")
        )
        headers = {"DPoP": self.proof(path, key=key, **about)} if by_proof else {}
        return self.http.post(
            path, form=form, headers=headers, environ_base=shown(certificate or self.certificate, shows)
        )

    def userinfo(
        self, token: str, *, scheme: str = "", accept: str = "", proof: bool | str = True, **changes: Any
    ) -> TestResponse:
        """UserInfo as the variant presents tokens; with another proof, or without what proves possession."""
        headers = {"Authorization": f"{scheme or self.token_type} {token}"}
        headers |= {"Accept": accept} if accept else {}
        if isinstance(proof, str):
            headers["DPoP"] = proof
        elif proof and self.variant.binding == "dpop":
            headers["DPoP"] = self.proof("/userinfo", token=token, **{"htm": "GET", **changes})
        shows = bool(proof) and self.variant.binding == "mtls"
        return self.http.get("/userinfo", headers=headers, environ_base=shown(self.certificate, shows))


def shown(certificate: Certified | None, shows: bool = True) -> dict[str, Any]:
    """The environment of a request whose connection is made with a certificate."""
    return {"REMOTE_ADDR": "127.0.0.1", CERTIFICATE: certificate if shows else None}


def code_of(bank: Bank, person: Person, **changes: Any) -> str:
    """A code the person gave the bank."""
    return bank.through(person, bank.pushed(**changes)).parameters["code"]


def tokens_of(bank: Bank, person: Person, **changes: Any) -> dict[str, Any]:
    """A token response for a fresh code."""
    answer = bank.redeem(code_of(bank, person, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def is_refused(answer: TestResponse, *errors: str) -> None:
    """The answer is one of these errors."""
    assert answer.status_code in (400, 401), answer.text
    assert answer.json is not None
    assert answer.json["error"] in errors
