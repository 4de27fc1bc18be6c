"""Apache with mod_oauth2 and nginx with njs, both from Debian, as resource servers; configured by the how-to page."""

import os
import shutil
from pathlib import Path

import requests

from tests.interop.apache import MODULES
from tests.interop.proxy import Authority
from tests.live import ROOT
from tests.servers import Server, free_port

APACHE_MODULES = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "headers",
    "mime",
    "dir",
    "socache_shmcb",
    "ssl",
    "oauth2",
)
APACHE = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel warn oauth2:info
{modules}
{identity}
TypesConfig /etc/mime.types
DocumentRoot {folder}/www
DirectoryIndex index.html
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
# TLS 1.3 cannot ask for a certificate in the middle of a connection for one folder of several.
SSLProtocol TLSv1.2
Header always set X-Subject "expr=%{{REMOTE_USER}}"
"""
PATHS = ("orders", "orders/paid", "orders/bound", "orders/certified")
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
NGINX = """
load_module {module};
{identity}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {imports}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_verify_client optional_no_ca;
        {directives}
    }}
    server {{
        listen 127.0.0.1:{behind};
        return 200 "$http_x_token_subject";
    }}
}}
"""


class ApiServer(Server):
    """A web server with TLS in front of an API."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.root = str(authority.root)
        self.origin = f"https://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        """Its error log."""
        return (self.folder / "error.log").read_text("utf-8", "replace")

    def get(
        self, path: str, *, certificate: tuple[str, str] | None = None, **headers: str
    ) -> requests.Response:
        """A request to the API."""
        return requests.get(
            self.origin + path, headers=headers, cert=certificate, verify=self.root, timeout=20
        )

    def answers(self) -> bool:
        """Whether it ends TLS."""
        try:
            self.get("/")
        except requests.RequestException:
            return False
        return True


class ApacheApi(ApiServer):
    """Apache with the page's directives."""

    name = "apache2"

    def __init__(self, authority: Authority, directives: str) -> None:
        super().__init__(authority)
        for path in PATHS:
            folder = self.folder / "www" / path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "index.html").write_text(f"{path}\n")
        text = APACHE.format(
            folder=self.folder,
            port=self.port,
            modules="\n".join(f"LoadModule {n}_module {MODULES}/mod_{n}.so" for n in APACHE_MODULES),
            identity="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            certificate=authority.certificate,
            key=authority.key,
        )
        (self.folder / "apache.conf").write_text(text + directives)
        self.folder.chmod(0o755)

    def command(self) -> list[str]:
        """Apache in the foreground with nothing of the machine's configuration."""
        return [_binary("apache2"), "-DFOREGROUND", "-f", str(self.folder / "apache.conf")]


class NginxApi(ApiServer):
    """nginx with the page's directives and the script that is shipped; behind it one that tells whom it was told of."""

    name = "nginx"

    def __init__(self, authority: Authority, imports: str, directives: str) -> None:
        super().__init__(authority)
        script = self.folder / "nginx-introspect.js"
        shutil.copy(ROOT / "deploy/nginx-introspect.js", script)
        behind = free_port()
        for old, new in (
            ("/etc/nginx/nginx-introspect.js", str(script)),
            ("127.0.0.1:9000", f"127.0.0.1:{behind}"),
        ):
            assert old in imports + directives
            imports, directives = imports.replace(old, new), directives.replace(old, new)
        text = NGINX.format(
            module=NGINX_MODULE,
            identity="user www-data;" if os.geteuid() == 0 else "",
            folder=self.folder,
            port=self.port,
            behind=behind,
            imports=imports,
            directives=directives,
            certificate=authority.certificate,
            key=authority.key,
        )
        (self.folder / "nginx.conf").write_text(text)
        self.folder.chmod(0o755)

    def command(self) -> list[str]:
        """nginx in the foreground."""
        return [
            _binary("nginx"),
            "-p",
            str(self.folder),
            "-c",
            str(self.folder / "nginx.conf"),
            "-g",
            "daemon off;",
        ]


def _binary(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, f"{name} is not installed"
    return found
