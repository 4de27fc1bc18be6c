"""The one exception every floor may raise: a refusal with three audiences."""


class Problem(Exception):
    """A refusal.

    `code` is the stable reason code (`token.expired`) that goes to the log, the audit and `token explain`.
    `public` is the fixed text a caller may read. `detail` is for the operator: it is logged, never sent.
    `status` is the HTTP status a boundary answers with unless its protocol says otherwise.
    """

    def __init__(self, code: str, public: str, *, detail: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {detail or public}")
        self.code = code
        self.public = public
        self.detail = detail
        self.status = status


class Unavailable(Problem):
    """Something this server stands on (database, state store) cannot answer now. Callers may try again."""

    def __init__(self, code: str, *, detail: str = "", retry_after_seconds: int = 1) -> None:
        super().__init__(
            code, "The service is not available right now. Try again shortly.", detail=detail, status=503
        )
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(Exception):
    """The deployment is set up in a way the server refuses to run with. `faults` names every fault at once."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
