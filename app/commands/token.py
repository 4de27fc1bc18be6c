"""`watchword token explain`: what a token in hand is, and every reason why it is refused."""

import click

from app.commands.runtime import MAY_BEGIN_WITH_A_HYPHEN, answer, json_option, read_secret, services


@click.group()
def token() -> None:
    """Tokens in hand."""


@token.command(context_settings=MAY_BEGIN_WITH_A_HYPHEN)
@click.argument("token", metavar="TOKEN|-")
@json_option
def explain(*, token: str, as_json: bool) -> int:
    """Tell what a token is, whether it is good now, and if not, why.

    Access tokens (JWT and opaque), ID tokens, refresh tokens and authorization codes are told apart. - reads
    standard input, which keeps the token out of the shell's history. Exit status 1 when it is not good.
    """
    from app.commands.explaining import explain as find_out
    from app.kernel.reasons import REASONS

    with services() as parts:
        found = find_out(parts, read_secret(token).removeprefix("Bearer ").strip())
    told = {
        "kind": found.kind,
        "tenant": found.tenant,
        "good": not found.reasons,
        "reasons": [
            {"code": reason.code, "means": REASONS[reason.code], "detail": reason.detail}
            for reason in found.reasons
        ],
        "facts": found.facts,
    }
    lines = [f"This is {found.kind}" + (f" of tenant {found.tenant}." if found.tenant else ".")]
    lines += [f"{name}: {value}" for name, value in found.facts.items()]
    for reason in found.reasons:
        lines.append(
            f"✗ {reason.code}: {REASONS[reason.code]}" + (f" ({reason.detail})" if reason.detail else "")
        )
    if not found.reasons:
        lines.append(f"It is {found.note or 'good now'}.")
    answer(told, lines, as_json=as_json)
    return 1 if found.reasons else 0
