"""Pairwise subject identifiers (OpenID Connect Core section 8.1): another name of a person for every sector.

The name is the person's id and the sector, sealed with AES-SIV (RFC 5297) under a key of the tenant that comes of the
deployment's salt. It is the same every time, says nothing to whoever lacks the key, and cannot be made up; and we can
read it, whatever became of the client, so that nothing has to be stored or looked up.
"""

import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.kernel.secrets import b64url, equal, unb64url

_KEY_BYTES = 64
_ID_BYTES, _SECTOR_BYTES, _SEAL_BYTES = 16, 16, 16
LENGTH = 64
"""So many characters has a pairwise subject; a person's own id has fewer."""
_MAX_CIPHERS = 1000


class PairwiseSubjects:
    """Makes and reads them. `salt` is the deployment's secret (`DeploymentSecrets.pairwise_salt`)."""

    def __init__(self, salt: Callable[[], bytes]) -> None:
        self._salt = salt
        self._ciphers: OrderedDict[str, AESSIV] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tenant_id: str, sector: str | None, user_id: str) -> str:
        """How a sector knows a person; None for a sector is everybody, who know the id itself."""
        if sector is None:
            return user_id
        plain = uuid.UUID(user_id).bytes + hashlib.sha256(sector.encode()).digest()[:_SECTOR_BYTES]
        return b64url(self._cipher(tenant_id).encrypt(plain, None))

    def user_id(self, tenant_id: str, subject: str) -> str | None:
        """The id of the person a subject of this tenant means; None for what we did not make.

        What does not have the form of a pairwise subject is taken for an id, and nobody may have it.
        """
        if len(subject) != LENGTH:
            return subject
        try:
            plain = self._cipher(tenant_id).decrypt(unb64url(subject), None)
        except (ValueError, InvalidTag):
            return None
        return str(uuid.UUID(bytes=plain[:_ID_BYTES]))

    def known_as(self, tenant_id: str, sector: str | None, subject: str) -> str | None:
        """The id of the person a sector calls `subject`; None where that is nobody's name there.

        An answer for another sector's name, or for the id itself, would tell one from the other.
        """
        if sector is None:
            return subject if len(subject) != LENGTH else None
        user_id = self.user_id(tenant_id, subject) if len(subject) == LENGTH else None
        return user_id if user_id and equal(self.of(tenant_id, sector, user_id), subject) else None

    def _cipher(self, tenant_id: str) -> AESSIV:
        found = self._ciphers.get(tenant_id)
        if found is None:
            info = b"watchword pairwise 1 " + tenant_id.encode()
            found = AESSIV(HKDF(SHA512(), _KEY_BYTES, salt=None, info=info).derive(self._salt()))
            with self._lock:
                self._ciphers[tenant_id] = found
                if len(self._ciphers) > _MAX_CIPHERS:
                    self._ciphers.popitem(last=False)
        return found
