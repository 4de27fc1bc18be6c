"""How surely somebody was authenticated: the `acr` we issue, weakest first, and the `amr` it stands on (RFC 8176)."""

PASSWORD_AMR = ("pwd",)
ONE_FACTOR = "urn:watchword:acr:one-factor"

ACR_VALUES = (ONE_FACTOR,)
"""Published as `acr_values_supported`: exactly what can be in a token."""


def acr_of(amr: tuple[str, ...]) -> str:
    """The `acr` of an authentication by these methods."""
    return ONE_FACTOR


def has_second_factor(amr: tuple[str, ...]) -> bool:
    """Whether more than one factor was shown: `mfa` says so (RFC 8176 section 2)."""
    return "mfa" in amr


def satisfies(acr: str, wanted: str) -> bool:
    """Whether an authentication of class `acr` is at least as sure as `wanted`."""
    return wanted in ACR_VALUES and ACR_VALUES.index(acr) >= ACR_VALUES.index(wanted)
