import unicodedata

import numpy as np
import pytest

from vitpose_cli.media.letters import writable
from vitpose_cli.media.mosaic import mosaic


def drawn(caption: str) -> bytes:
    return mosaic([np.zeros((8, 200, 3), np.uint8)], [caption], 1).tobytes()


def test_captions_keep_their_letters() -> None:
    name = "Frau Müller é.jpg"
    assert drawn(name) != drawn(name.encode("ascii", "replace").decode())
    assert drawn(unicodedata.normalize("NFD", name)) == drawn(name)


@pytest.mark.parametrize("odd", ["a\nb", "a\tb", "a\udce4b"])
def test_what_is_no_letter_is_a_question_mark(odd: str) -> None:
    assert writable(odd) == "a?b"
    assert drawn(odd) == drawn("a?b")


def test_without_other_letters_accents_are_left_out() -> None:
    assert writable("Frau Müller é 写真.jpg", ascii_only=True) == "Frau Muller e ??.jpg"
    assert writable("Frau Müller é 写真.jpg", ascii_only=False) == "Frau Müller é 写真.jpg"
