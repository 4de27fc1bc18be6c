"""A real Apache with mod_auth_openidc from Debian, on a private port, ended by its process id."""

import os
import pwd
import shutil
from pathlib import Path

import requests

from tests.servers import Server

MODULES = Path("/usr/lib/apache2/modules")
WANTED = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "auth_openidc",
    "headers",
    "mime",
    "dir",
    "alias",
)

CONFIGURATION = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel warn auth_openidc:info
{modules}
{identity}
TypesConfig /etc/mime.types
DocumentRoot {folder}/www
DirectoryIndex index.html

OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCProviderTokenEndpointAuth {method}
OIDCRedirectURI http://127.0.0.1:{port}/private/callback
OIDCCryptoPassphrase apache-needs-a-passphrase-of-its-own
OIDCScope "openid profile email offline_access"
OIDCRemoteUserClaim sub
OIDCSSLValidateServer On
OIDCSessionInactivityTimeout 300
OIDCCacheShmMax 100
{pkce}

<Location /private>
    AuthType openid-connect
    Require valid-user
    Header always set X-User "expr=%{{REMOTE_USER}}"
    Header always set X-Name "expr=%{{reqenv:OIDC_CLAIM_name}}"
    Header always set X-Access-Token "expr=%{{reqenv:OIDC_access_token}}"
</Location>
"""


class Apache(Server):
    """Apache protecting `/private/` with a client of the server under test."""

    name = "apache2"

    def __init__(self, issuer: str, client_id: str, client_secret: str, method: str, *, pkce: bool) -> None:
        super().__init__()
        self.origin = f"http://127.0.0.1:{self.port}"
        (self.folder / "www" / "private").mkdir(parents=True)
        (self.folder / "www" / "private" / "index.html").write_text("for members only\n")
        (self.folder / "www" / "index.html").write_text("for everybody\n")
        text = CONFIGURATION.format(
            folder=self.folder,
            port=self.port,
            modules="\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in WANTED),
            identity="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            issuer=issuer,
            client_id=client_id,
            client_secret=client_secret,
            method=method,
            pkce="OIDCPKCEMethod S256" if pkce else "",
        )
        (self.folder / "apache.conf").write_text(text)
        if os.geteuid() == 0:
            user = pwd.getpwnam("www-data")
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid)

    @property
    def errors(self) -> str:
        """Apache's error log."""
        return (self.folder / "error.log").read_text("utf-8", "replace")

    def command(self) -> list[str]:
        """Apache in the foreground with nothing of the machine's configuration."""
        binary = shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert binary, "apache2 is not installed"
        return [binary, "-DFOREGROUND", "-f", str(self.folder / "apache.conf")]

    def answers(self) -> bool:
        """Whether it serves files."""
        try:
            return requests.get(self.origin, timeout=5).status_code == 200
        except requests.RequestException:
            return False
