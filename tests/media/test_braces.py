"""Names of numbered shards."""

from __future__ import annotations

import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.media.braces import expand_braces, has_braces


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("s-{8..10}.tar", ["s-8.tar", "s-9.tar", "s-10.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
        ("{train,}x", ["trainx", "x"]),
        ("{x}", ["{x}"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_braces_stand_for_names(name: str, expected: list[str]) -> None:
    assert list(expand_braces(name)) == expected
    assert has_braces(name) == (expected != [name])


def test_a_slip_in_a_number_is_no_wait_for_hours() -> None:
    with pytest.raises(InputError, match="10,000,000,000"):
        next(expand_braces("s-{1..100000}-{1..100000}.tar"))
