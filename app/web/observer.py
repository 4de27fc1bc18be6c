"""What is told of every answered request: the numbers and the access log."""

from app.infra import metrics
from app.infra.logs import AccessLog


class RequestObserver:
    """The edge's observer. Cheap, and never raises."""

    def __init__(self, log_level: str) -> None:
        log = AccessLog(log_level)
        self._log = log if log.is_on else None

    def __call__(
        self,
        endpoint: str,
        method: str,
        status: int,
        seconds: float,
        tenant: str | None,
        request_id: str,
        address: str,
    ) -> None:
        """Count and log one request."""
        metrics.observe(endpoint, status, seconds)
        if self._log is not None:
            self._log(endpoint, method, status, seconds, tenant, request_id, address)
