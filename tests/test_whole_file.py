"""A file takes the place of another whole, or not at all."""

from __future__ import annotations

import os

import pytest

from sims_tools._whole_file import whole_file


def test_the_file_is_there_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["file.txt"]


def write_half(draft):
    draft.write_text("half")
    (draft / "elsewhere").read_text()


def test_an_exception_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(NotADirectoryError), whole_file(path) as draft:
        write_half(draft)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_others_may_read_it_as_any_file(tmp_path):
    with whole_file(tmp_path / "drafted") as draft:
        draft.write_text("")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "drafted").stat().st_mode == (tmp_path / "plain").stat().st_mode
