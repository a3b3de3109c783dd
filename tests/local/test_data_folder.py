"""The data folder: made once, removed whole, never another's."""

from pathlib import Path

import pytest

from local import data_folder


def test_a_new_folder_is_made_with_its_parents_and_removed_whole(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    data_folder.create(data)
    (data / "order.db").touch()
    data_folder.create(data)

    data_folder.remove(data)

    assert not data.exists()
    data_folder.remove(data)


def test_a_folder_that_holds_anything_else_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(SystemExit, match=r"not a Waybill data folder \(it holds thesis.txt\)"):
        data_folder.create(tmp_path)
    with pytest.raises(SystemExit, match="nothing was removed"):
        data_folder.remove(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_in_which_only_the_backend_has_written_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db-wal").touch()

    data_folder.create(tmp_path)
    data_folder.remove(tmp_path)

    assert not tmp_path.exists()


def test_a_removed_folder_that_was_a_link_leaves_no_files_behind(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    target.mkdir()
    link.symlink_to(target)
    data_folder.create(link)

    data_folder.remove(link)

    assert not target.exists()
