"""What a keypoint's name says: its side, its mirror image, and its half of the body.

Files of the world spell the same point `left_eye`, `L_Eye`, `eye.l` or `leftEye`; here the names
are read once, so that flip pairs and upper bodies are derived and never typed in by hand. Matching
by place in a list was refused: it is right for one data set only.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from vitpose_cli.errors import InputError

_WORD_BREAKS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SHORT_FORMS = {"l": "left", "r": "right", "f": "front", "b": "back", "fore": "front"}
_OPPOSITES = {"left": "right", "right": "left"}
_PARTS = re.compile(f"({_WORD_BREAKS.pattern})")
_OPPOSITE_SPELLINGS = {
    spelled(one): spelled(other)
    for one, other in (*_OPPOSITES.items(), ("l", "r"), ("r", "l"))
    for spelled in (str.lower, str.title, str.upper)
}
_GLUED_OPPOSITES = (("left", "right"), ("right", "left"), ("l", "r"), ("r", "l"))
_LOWER_BODY = ("pelvis", "hip", "leg", "thigh", "knee", "shin", "ankle", "foot", "heel", "toe")
_ANIMAL_LOWER_BODY = ("tail", "paw", "hoof")

_NUM_FACE_POINTS = 68
_FACE_MIRRORS = (  # first and last point of one side, and the sum of two mirror images
    (0, 8, 16),  # jaw
    (17, 21, 43),  # brows
    (31, 33, 66),  # nostrils
    (36, 39, 81),  # upper eyelids
    (40, 41, 87),  # lower eyelids
    (48, 51, 102),  # upper lip, outside
    (55, 57, 114),  # lower lip, outside
    (60, 62, 124),  # upper lip, inside
    (65, 66, 132),  # lower lip, inside
)

Words = tuple[str, ...]


def canonical_words(name: str) -> Words:
    """Return the words of a name in lower case, short forms written out, sides first.

    `L_Eye`, `leftEye`, `l-eye` and `eye.l` all become `("left", "eye")`.
    """
    words = [word.lower() for word in _WORD_BREAKS.split(name) if word]
    words = [_SHORT_FORMS.get(word, word) for word in words]
    return tuple(sorted(words, key=lambda word: word not in _OPPOSITES))


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
    theirs, ours = _places_by_words(found), _places_by_words(wanted)
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


def _places_by_words(names: Sequence[str]) -> dict[Words, list[int]]:
    """Return the places of names by their words; several where only the spelling differs."""
    places: dict[Words, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[canonical_words(name)].append(place)
    return dict(places)


def flip_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of names that are each other's left and right, by their positions.

    A side may be glued to its word (`lefteye`, `lankle`) where the other side is there, too.
    Names that differ in their spelling alone are paired only with their own spelling: `l_tip+`
    with `r_tip+`. `face_0` to `face_67`, where there are no more, are the points of iBUG-68.
    """
    places = _places_by_words(names)
    positions = {words: alike[0] for words, alike in places.items() if len(alike) == 1}
    partners = _face_partners(positions) | _exact_partners(names)
    for words, index in positions.items():
        found = (positions[mirror] for mirror in _mirrors(words) if mirror in positions)
        partner = next(found, index)
        if partner != index and not {index, partner} & partners.keys():
            partners |= {index: partner, partner: index}
    return tuple(sorted(pair for pair in partners.items() if pair[0] < pair[1]))


def _face_partners(positions: Mapping[Words, int]) -> dict[int, int]:
    """Return the mirror images within the 68 face points, empty where they are not all there."""
    points = [positions.get(("face", str(number))) for number in range(_NUM_FACE_POINTS + 1)]
    if None in points[:-1] or points[-1] is not None:
        return {}
    return {
        points[number]: points[total - number]
        for first, last, total in _FACE_MIRRORS
        for number in (*range(first, last + 1), *range(total - last, total - first + 1))
        if 2 * number != total
    }


def _exact_partners(names: Sequence[str]) -> dict[int, int]:
    """Return the mirror images whose names differ in nothing but the side."""
    places = {name: place for place, name in enumerate(names)}
    mirrored = {place: places.get(_mirrored(name)) for name, place in places.items()}
    return {place: partner for place, partner in mirrored.items() if partner not in (None, place)}


def _mirrored(name: str) -> str:
    """Return a name with its sides changed and all else as it is spelled."""
    return "".join(_OPPOSITE_SPELLINGS.get(part, part) for part in _PARTS.split(name) if part)


def has_side(name: str) -> bool:
    """Tell whether a keypoint is on the left or the right, as a word of its name says."""
    return not _OPPOSITES.keys().isdisjoint(canonical_words(name))


def is_upper_body(name: str) -> bool:
    """Tell whether a keypoint lies above the hips; an animal's front legs do."""
    words = canonical_words(name)
    return "front" in words or not any(
        word.endswith(_LOWER_BODY + _ANIMAL_LOWER_BODY) for word in words
    )


def _mirrors(words: Words) -> Iterator[Words]:
    """Yield what the name of the mirror image may be, the likeliest first."""
    if not _OPPOSITES.keys().isdisjoint(words):
        yield tuple(_OPPOSITES.get(word, word) for word in words)
        return
    for position, word in enumerate(words):
        for side, opposite in _GLUED_OPPOSITES:
            if word.startswith(side):
                mirrored = opposite + word.removeprefix(side)
                yield (*words[:position], mirrored, *words[position + 1 :])
