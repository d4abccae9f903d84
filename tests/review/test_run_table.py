from contextlib import closing
from pathlib import Path

import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.records.run import Run
from vitpose_cli.review.run_table import RunTable


def test_who_waits_for_the_rest_is_told_when_the_review_has_ended(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitpose_cli.review.run_table._READ_BYTES", 1)
    with closing(Run.edit(run_folder, read=False)) as run:
        table = RunTable(run, whole=False, changed=lambda _: None, all_changed=lambda: None)
        assert not table.is_whole
        assert table.problem is None
        table.stop()
        table.start()
        with pytest.raises(InputError, match="has ended"):
            table.wait_until_whole()
        assert table.problem is not None
