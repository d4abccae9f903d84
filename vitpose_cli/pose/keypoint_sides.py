"""What names of keypoints say of the body: side, mirror image, and upper or lower half.

Flip pairs and upper bodies are derived here and never typed in by hand, unless a file states them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal

from vitpose_cli.pose.keypoint_names import (
    OPPOSITES,
    WORD_BREAKS,
    Words,
    canonical_words,
    places_by,
)

_PARTS = re.compile(f"({WORD_BREAKS.pattern})")
_OPPOSITE_SPELLINGS = {
    spelled(one): spelled(other)
    for one, other in (*OPPOSITES.items(), ("l", "r"), ("r", "l"))
    for spelled in (str.lower, str.title, str.upper)
}
_GLUED_OPPOSITES = (("left", "right"), ("right", "left"), ("左", "右"), ("右", "左"))
_GLUED_INITIALS = (("l", "r"), ("r", "l"))
_NUM_GLUED_INITIALS = 3  # pairs: with so many, l and r are a habit of the list and no accident
_IN_OTHER_LANGUAGES = {
    "left": "links linke linker linkes linken izquierda izquierdo gauche esquerda esquerdo "
    "sinistra sinistro vänster venstre lewy lewa lewe левый левая левое",
    "right": "rechts rechte rechter rechtes rechten derecha derecho droite droit direita direito "
    "destra destro höger højre høyre prawy prawa prawe правый правая правое",
}
_PLACES = {"f": "front", "h": "hind", "r": "rear", "b": "back"}
_SIDES_WITHIN = {  # what a word says that is not English, or two words in one: FL, RH
    **{word: (side,) for side, words in _IN_OTHER_LANGUAGES.items() for word in words.split()},
    **{
        letters: (side, place)
        for side in OPPOSITES
        for initial, place in _PLACES.items()
        for letters in (side[0] + initial, initial + side[0])
    },
}
_LOWER_BODY = (
    *("pelvis", "hip", "leg", "thigh", "knee", "shin", "shank", "calf", "ankle"),
    *("foot", "feet", "heel", "sole", "toe"),
)
_ANIMAL_LOWER_BODY = ("tail", "stifle", "hock", "fetlock", "paw", "hoof", "claw", "hind")
_BODY_WORDS = (
    *_LOWER_BODY,
    *_ANIMAL_LOWER_BODY,
    *("eye", "ear", "brow", "eyelid", "nostril", "cheek", "mouth", "lip", "jaw", "horn", "head"),
    *("shoulder", "clavicle", "collar", "scapula", "arm", "elbow", "wrist", "hand", "palm"),
    *("finger", "thumb", "index", "middle", "pinky", "pinkie", "knuckle", "chest", "nipple"),
    *("rib", "wing", "fin", "antenna", "whisker"),
)

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

NamedSide = Literal["left", "right"]


def flip_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of names that are each other's left and right, by their positions.

    A side may be a word of another language (`Knie links`), two letters with a place (`FL_hoof`),
    or glued to its word (`lefteye`, `lankle`), where the other side is there, too. A glued `l` and
    `r` count before a part of a body, or where the list has at least three such pairs: `lobe` and
    `robe` are none. Names that differ in their spelling alone are paired only with their own
    spelling: `l_tip+` with `r_tip+`. `face_0` to `face_67`, where there are no more, are the points
    of iBUG-68.
    """
    places = places_by(_sided_words, names)
    positions = {words: alike[0] for words, alike in places.items() if len(alike) == 1}
    partners = _face_partners(positions) | _exact_partners(names)
    partners |= _partners(positions, partners, _mirrors)
    initials = _partners(positions, partners, _mirrors_by_initial)
    if len(initials) < 2 * _NUM_GLUED_INITIALS:
        bodily = {index for words, index in positions.items() if any(map(_is_bodily, words))}
        initials = {one: other for one, other in initials.items() if one in bodily}
    partners |= initials
    return tuple(sorted(pair for pair in partners.items() if pair[0] < pair[1]))


def flip_pairs_fault(stated: object, names: Sequence[str]) -> str:
    """Return what is wrong with flip pairs that somebody wrote by name; empty where nothing is."""
    if not isinstance(stated, list | tuple):
        return "is not a list"
    seen: set[str] = set()
    for pair in stated:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return f"has {pair!r}, which is not a pair of names"
        for name in map(str, pair):
            if name not in names:
                return f"has {name!r}, which is none of the keypoints"
            if name in seen:
                return f"has {name!r} twice"
            seen.add(name)
    return ""


def _partners(
    positions: Mapping[Words, int],
    taken: Mapping[int, int],
    mirrors: Callable[[Words], Iterator[Words]],
) -> dict[int, int]:
    """Return the mirror images, by position, of names that are not taken yet."""
    partners: dict[int, int] = {}
    for words, index in positions.items():
        found = (positions[mirror] for mirror in mirrors(words) if mirror in positions)
        partner = next(found, index)
        if partner != index and not {index, partner} & (taken.keys() | partners.keys()):
            partners |= {index: partner, partner: index}
    return partners


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
    return _has_side(_sided_words(name))


def side_of(name: str, partner: str) -> NamedSide | None:
    """Return the side of the body that a keypoint is on, None where the names do not say.

    Args:
        name: Of the keypoint.
        partner: Of its mirror image.
    """
    words, other = _sided_words(name), _sided_words(partner)
    if _has_side(words):
        return "left" if words[0] == "left" else "right"
    if other not in (*_mirrors(words), *_mirrors_by_initial(words)):
        return None
    initial = next(word[0] for word, its in zip(words, other, strict=True) if word != its)
    return "left" if initial in ("l", "左") else "right"


def is_upper_body(name: str) -> bool:
    """Tell whether a keypoint lies above the hips; an animal's front legs do."""
    words = _sided_words(name)
    return "front" in words or not any(
        word.endswith(_LOWER_BODY + _ANIMAL_LOWER_BODY) for word in words
    )


def _sided_words(name: str) -> Words:
    """Return the words of a name as `canonical_words`, its side found in whatever spelling."""
    words = canonical_words(name)
    if _has_side(words):
        return words
    read = chain.from_iterable(_SIDES_WITHIN.get(word, (word,)) for word in words)
    return tuple(sorted(read, key=lambda word: word not in OPPOSITES))


def _has_side(words: Words) -> bool:
    return not OPPOSITES.keys().isdisjoint(words)


def _is_bodily(word: str) -> bool:
    """Tell whether a word with a glued initial is of a part of a body: `lankle`, `reye2`."""
    return word[1:].rstrip("0123456789").endswith(_BODY_WORDS)


def _mirrors(words: Words) -> Iterator[Words]:
    """Yield what the name of the mirror image may be, where a whole word says the side."""
    if _has_side(words):
        yield tuple(OPPOSITES.get(word, word) for word in words)
    else:
        yield from _glued_mirrors(words, _GLUED_OPPOSITES)


def _mirrors_by_initial(words: Words) -> Iterator[Words]:
    """Yield what the name of the mirror image may be, where the side is an l or r in front."""
    if not _has_side(words):
        yield from _glued_mirrors(words, _GLUED_INITIALS)


def _glued_mirrors(words: Words, opposites: Sequence[tuple[str, str]]) -> Iterator[Words]:
    for position, word in enumerate(words):
        for side, opposite in opposites:
            mirrored = opposite + word.removeprefix(side)
            if word.startswith(side) and mirrored not in OPPOSITES:
                yield (*words[:position], mirrored, *words[position + 1 :])
