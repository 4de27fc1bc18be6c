"""The pages of the sign-in family: which page meets which need. All of them live at `/interaction/<id>`.

**A new page** is a module with two functions and one row of `PAGES`:

* `show(turn, standing)` answers GET. `standing.step.reason` says why the person sees it, `standing.person` who they
  are so far. Forms post to `turn.action`, carry `make_token(turn.bound_to)` and a hidden `step` with the page's name.
  A page with several views tells them apart by query parameters of its own.
* `take(turn, standing, form)` answers the form, whose token was verified. It gives a `Response` (the page again with
  what is wrong, 4xx; or `pages.see_other` to another view), or the `Turn` to go on with, changed by `turns.change`,
  `turns.shows` (a first factor) or `turns.adds` (another one): whatever is needed next follows by itself.

A page is taken only while it is what the person needs next, so nobody jumps over one; with `at_any_time` it is always
taken, and has to look for itself. The row's `name` is the `page` of a requirement in `protocols.login.engine`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response

from app.protocols.login import engine
from app.web import (
    choose_account,
    consent_step,
    device,
    email_pages,
    email_sign_in,
    enrol_page,
    factor_page,
    keep_account,
    new_password,
    recovery_codes_page,
    registration,
    sign_in,
    terms_page,
)
from app.web.factor_forms import CodesForm, EnrolForm, FactorForm
from app.web.page_forms import ChooseForm, ConsentForm, DeviceForm, PageForm, SignInForm
from app.web.people_forms import AnswerForm, OwnPasswordForm, TermsForm
from app.web.standings import Standing
from app.web.turns import Turn


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the family."""

    name: str
    form: type[PageForm]
    show: Callable[[Turn, Standing], Response]
    take: Callable[[Turn, Standing, Any], Response | Turn]
    at_any_time: bool = False


PAGES: tuple[Page, ...] = (
    Page(engine.DEVICE, DeviceForm, device.show, device.take),
    Page(engine.SIGN_IN, SignInForm, sign_in.show, sign_in.take, at_any_time=True),
    Page(engine.REGISTER, PageForm, registration.show, registration.take, at_any_time=True),
    Page(email_sign_in.WAY, PageForm, email_sign_in.show, email_sign_in.take, at_any_time=True),
    Page(engine.FACTOR, FactorForm, factor_page.show, factor_page.take),
    Page(engine.ENROL, EnrolForm, enrol_page.show, enrol_page.take),
    Page(engine.RECOVERY_CODES, CodesForm, recovery_codes_page.show, recovery_codes_page.take),
    Page(engine.KEEP_ACCOUNT, PageForm, keep_account.show, keep_account.take),
    Page(engine.NEW_PASSWORD, OwnPasswordForm, new_password.show, new_password.take),
    Page(engine.VERIFY_EMAIL, AnswerForm, email_pages.show, email_pages.take),
    Page(engine.TERMS, TermsForm, terms_page.show, terms_page.take),
    Page(engine.CHOOSE, ChooseForm, choose_account.show, choose_account.take),
    Page(engine.CONSENT, ConsentForm, consent_step.show, consent_step.take, at_any_time=True),
)

_BY_NAME = {page.name: page for page in PAGES}


def named(name: str) -> Page | None:
    """The page of a name."""
    return _BY_NAME.get(name)
