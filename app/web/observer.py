"""What is told of every answered request: the numbers and the access log."""

from app.infra import metrics
from app.infra.logs import AccessLog
from app.web.edge import Observer


def observer(log_level: str) -> Observer:
    """What to call: it is cheap, and never raises."""
    log = AccessLog(log_level)

    def count_and_log(
        endpoint: str,
        method: str,
        status: int,
        seconds: float,
        tenant: str | None,
        request_id: str,
        address: str,
    ) -> None:
        metrics.observe(endpoint, method, status, seconds, tenant, request_id, address)
        log(endpoint, method, status, seconds, tenant, request_id, address)

    return count_and_log if log.is_on else metrics.observe
