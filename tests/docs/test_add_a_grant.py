"""Adding a grant touches one new file and one line: the page's own, on a copy of the source."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs import pages

PAGE = pages.page("docs/how-to/add-a-grant.md")
GRANT_TYPE = "urn:example:params:oauth:grant-type:kiosk"
ASK = """
import base64, json, secrets, sys
from pathlib import Path
from app import create_app, wiring
from app.domain.first_start import ensure_default_tenant
from app.infra import migrations
from app.kernel.settings import Settings
from tests.conftest import Http, new_master_key
from tests.protocol import parties
from werkzeug.test import Client

settings = Settings(data_dir=Path(sys.argv[1]), master_key=new_master_key())
migrations.upgrade(settings)
services = wiring.build(settings)
ensure_default_tenant(services.tenancy, services.keyring)
services.versions.touch()
tenant = services.tenants.default()
parties.new_resource(services, tenant, "https://catalogue.example.com", "browse")
kiosk = {"grant_types": [sys.argv[2]], "redirect_uris": [], "scope": "browse"}
party = parties.new_client(services, tenant, **kiosk)
plain = parties.new_client(services, tenant)
http = Http(create_app(settings, services=services), tenant)
ask = lambda p, **f: http.post("/token", form={"grant_type": sys.argv[2], **f}, headers=p.basic)
good, bare, other = ask(party, counter="7"), ask(party), ask(plain, counter="7")
print(json.dumps({
    "good": good.json, "claims": parties.read_token(services, tenant, good.json["access_token"]).claims,
    "bare": bare.json, "other": other.json,
    "advertised": http.get("/.well-known/openid-configuration").json["grant_types_supported"],
}))
services.close()
"""


def test_the_page_adds_a_grant(tmp_path: Path) -> None:
    """The file and the line, as they stand there, and nothing else."""
    source, line = PAGE.of("python")
    for name in ("app", "templates", "static", "migrations", "translations", "tests"):
        if (pages.ROOT / name).exists():
            ignore = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(pages.ROOT / name, tmp_path / name, ignore=ignore)
    grants = tmp_path / "app/protocols/oauth/grants"
    (grants / "kiosk.py").write_text(source.text, "utf-8")
    server = tmp_path / "app/protocols/oauth/server.py"
    text = server.read_text("utf-8")
    before = "GRANTS: tuple[GrantClass, ...] = (\n"
    assert text.count(before) == 1
    imported = "from app.protocols.oauth.grants.kiosk import Kiosk\n"
    place = text.index("from app.protocols.oauth.grants.")
    text = text[:place] + imported + text[place:]
    server.write_text(text.replace(before, before + line.text.rstrip("\n") + "\n"), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    data = tmp_path / "data"
    data.mkdir(0o700)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(data), GRANT_TYPE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["good"]["scope"] == "browse"
    assert found["good"]["expires_in"] <= 60
    assert found["claims"]["act"] == {"sub": "counter 7"}
    assert found["bare"]["error"] == "invalid_request"
    assert found["other"]["error"] == "unauthorized_client"
    assert GRANT_TYPE in found["advertised"]
