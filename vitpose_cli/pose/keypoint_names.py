"""Names of keypoints as words, and which of two lists mean the same point.

Files of the world spell the same point `left_eye`, `L_Eye`, `eye.l` or `leftEye`; here the names
are read once. Matching by place in a list was refused: it is right for one data set only.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from vitpose_cli.errors import InputError

WORD_BREAKS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SHORT_FORMS = {"l": "left", "r": "right", "f": "front", "b": "back", "fore": "front"}
OPPOSITES = {"left": "right", "right": "left"}

Words = tuple[str, ...]


def canonical_words(name: str) -> Words:
    """Return the words of a name in lower case, short forms written out, sides first.

    `L_Eye`, `leftEye`, `l-eye` and `eye.l` all become `("left", "eye")`.
    """
    words = [word.lower() for word in WORD_BREAKS.split(name) if word]
    words = [_SHORT_FORMS.get(word, word) for word in words]
    return tuple(sorted(words, key=lambda word: word not in OPPOSITES))


def keypoint_places(wanted: Sequence[str], found: Sequence[str]) -> list[int | None]:
    """Return where each name is in another list of keypoints, None for one that is not there.

    Where all of them are there, they are taken as they are spelled: `tip+` is not `tip-`. Else
    names are compared by their words.

    Args:
        wanted: Names of one list.
        found: Those of the other.

    Raises:
        InputError: Words tell names of one list not apart.
    """
    exact = {name: place for place, name in enumerate(found)}
    if exact.keys() >= {*wanted} and len(exact) == len(found):
        return [exact[name] for name in wanted]
    theirs, ours = (places_by(canonical_words, names) for names in (found, wanted))
    for words in ours:
        for names, places in ((wanted, ours[words]), (found, theirs.get(words, []))):
            if len(places) > 1:
                first, second = (names[place] for place in places[:2])
                raise InputError(
                    f"Keypoints {first!r} and {second!r} differ in their spelling alone, and "
                    "the names that they are compared with are not all spelled the same.",
                    "Spell the keypoints in both files exactly alike.",
                )
    return [theirs.get(canonical_words(name), [None])[0] for name in wanted]


def places_by(read: Callable[[str], Words], names: Sequence[str]) -> dict[Words, list[int]]:
    """Return the places of names by their words; several where only the spelling differs."""
    places: dict[Words, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[read(name)].append(place)
    return dict(places)
