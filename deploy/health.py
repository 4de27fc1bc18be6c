"""The image's health check: exit 0 when this server answers /health/live."""

import http.client
import os
import ssl
import sys
from urllib.parse import urlsplit

base = urlsplit(os.environ.get("WATCHWORD_BASE_URL", "http://localhost:8000"))
port = int(os.environ.get("WATCHWORD_PORT", "8000"))
if os.environ.get("WATCHWORD_TLS_CERT"):
    # It asks whether this very process answers; whose name is in the certificate is not the question.
    context = ssl._create_unverified_context()  # noqa: S323
    connection: http.client.HTTPConnection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=2, context=context
    )
else:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
try:
    connection.request("GET", "/health/live", headers={"Host": base.netloc})
    sys.exit(connection.getresponse().status != 200)
except OSError:
    sys.exit(1)
