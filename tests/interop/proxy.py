"""A real nginx running the shipped configuration, with a certificate of an authority made for the test."""

import os
import shutil
import subprocess
from pathlib import Path

import requests

from tests.live import ROOT
from tests.servers import Server, free_port


class Authority:
    """A certificate authority and one certificate for 127.0.0.1 and localhost."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key, self.root = folder / "cert.pem", folder / "key.pem", folder / "root.pem"
        self._root_key, self._request = folder / "root.key", folder / "request.pem"
        self._extensions = folder / "extensions"
        self._extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        root = ["-keyout", self._root_key, "-out", self.root, "-subj", "/CN=Test root"]
        _openssl("req", "-x509", *new_key, *root)
        _openssl("req", *new_key, "-keyout", self.key, "-out", self._request, "-subj", "/CN=127.0.0.1")
        self.renew()

    def renew(self) -> None:
        """A certificate with a new serial number for the same key."""
        signing = [
            "-CA",
            self.root,
            "-CAkey",
            self._root_key,
            "-CAcreateserial",
            "-extfile",
            self._extensions,
        ]
        _openssl("x509", "-req", "-in", self._request, "-out", self.certificate, *signing, "-days", "2")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Nginx(Server):
    """`deploy/nginx.conf` with nothing changed but addresses, ports and paths."""

    name = "nginx"

    def __init__(self, upstream_port: int, authority: Authority, *, port: int) -> None:
        super().__init__()
        self.port, self.plain_port = port, free_port()
        self.root = authority.root
        text = (ROOT / "deploy/nginx.conf").read_text("utf-8")
        changes = {
            "server web:8000 ": f"server 127.0.0.1:{upstream_port} ",
            "listen 8080;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 8443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "listen [::]:8080;": "",
            "listen [::]:8443 ssl http2;": "",
            "/etc/nginx/tls/cert.pem": str(authority.certificate),
            "/etc/nginx/tls/key.pem": str(authority.key),
            " /tmp/nginx": f" {self.folder}/nginx",
            "/etc/nginx/watchword.d/": f"{self.folder}/watchword.d/",
        }
        for old, new in changes.items():
            assert old in text, f"deploy/nginx.conf has no {old}"
            text = text.replace(old, new)
        user = "user www-data;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(user + text)
        self.folder.chmod(0o755)

    def command(self) -> list[str]:
        """nginx in the foreground."""
        binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert binary, "nginx is not installed"
        return [binary, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]

    def answers(self) -> bool:
        """Whether it ends TLS, whatever is behind it."""
        try:
            requests.get(f"https://127.0.0.1:{self.port}/", verify=str(self.root), timeout=5)
        except requests.RequestException:
            return False
        return True


class MtlsNginx(Nginx):
    """The shipped configuration with the shipped `nginx-mtls.conf` beside it."""

    def __init__(
        self, upstream_port: int, site: Authority, clients: Path, *, port: int, mtls_port: int, secret: str
    ) -> None:
        super().__init__(upstream_port, site, port=port)
        text = (ROOT / "deploy/nginx-mtls.conf").read_text("utf-8")
        changes = {
            "listen 8444 ssl http2;": f"listen 127.0.0.1:{mtls_port} ssl http2;",
            "listen [::]:8444 ssl http2;": "",
            "/etc/nginx/tls/cert.pem": str(site.certificate),
            "/etc/nginx/tls/key.pem": str(site.key),
            "/etc/nginx/tls/clients.pem": str(clients),
            "change-me-to-the-secret-of-this-deployment": secret,
        }
        for old, new in changes.items():
            assert old in text, f"deploy/nginx-mtls.conf has no {old}"
            text = text.replace(old, new)
        folder = self.folder / "watchword.d"
        folder.mkdir()
        (folder / "mtls.conf").write_text(text)
