import pytest

from app.domain.user_agents import Agent, describe, is_the_same

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
            Agent("Firefox 140", "Windows 10"),
        ),
        (
            f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36",
            Agent("Chrome 126", "Linux"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1",
            Agent("Mobile Safari 17", "iOS 17", "iPhone"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36",
            Agent("Chrome Mobile 126", "Android 10"),
        ),
        ("", Agent()),
        ("nonsense", Agent()),
        ("(" * 500, Agent()),
    ],
)
def test_browsers_are_named(user_agent: str, expected: Agent) -> None:
    assert describe(user_agent) == expected


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (FIREFOX, True),
        (FIREFOX.replace("140", "141"), True),
        (FIREFOX.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64"), False),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", False),
        ("curl/8.5.0", False),
        ("", False),
    ],
)
def test_an_update_makes_no_other_browser(now: str, same: bool) -> None:
    assert is_the_same(FIREFOX, now) is same


def test_what_names_nothing_may_be_anything() -> None:
    assert not is_the_same("nonsense", "other nonsense")


def test_nothing_but_words_comes_out() -> None:
    found = describe(
        "Mozilla/5.0 (Linux; Android 14; <script>alert(1)</script> Build/X) Chrome/126.0 Mobile Safari/1"
    )
    assert not set("<>\"'&") & set(found.browser + found.system + found.device)
