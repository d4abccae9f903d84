"""Places of photos: what tells that they are gone, and what it takes to look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted import plant

from vitpose_cli.media.frames import FrameFailure
from vitpose_cli.media.source import open_source
from vitpose_cli.media.storage import StorageGoneError


def test_what_a_pipeline_takes_away_is_no_outage(tmp_path: Path) -> None:
    """One photo that cannot be read fails alone, wherever those beside it went."""
    media = tmp_path / "media"
    plant(media, *(f"{number}.jpg" for number in range(20)))
    source = open_source([str(media)])
    for photo in media.glob("*.jpg"):
        if photo.stem != "1":
            photo.unlink()
    (media / "3.jpg").symlink_to("/nowhere.jpg")
    frames = list(source.frames())
    assert sum(isinstance(frame, FrameFailure) for frame in frames) == 19
    media.rename(tmp_path / "away")
    media.mkdir()
    with pytest.raises(StorageGoneError, match=f"Nothing in {media} can be read any more"):
        list(source.frames())


def test_a_start_with_many_sources_is_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a file of a network share is a journey."""
    opened, journeys = Path.open, []

    def counting(path: Path, *arguments: Any, **options: Any) -> Any:
        journeys.append(path)
        return opened(path, *arguments, **options)

    folders = [tmp_path / "media" / str(number) for number in range(300)]
    for folder in folders:
        plant(folder, "a.jpg", "b.jpg")
    monkeypatch.setattr(Path, "open", counting)
    source = open_source([*map(str, folders)])
    assert len(journeys) < 64 * 8
    (tmp_path / "media").rename(tmp_path / "away")
    with pytest.raises(StorageGoneError, match=f"Nothing in {tmp_path / 'media'} can be read"):
        list(source.frames())
