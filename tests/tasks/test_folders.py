"""The files that a pre-training reads of its data folder."""

import shutil

import pytest

from fairseq_electra.errors import InputError


@pytest.mark.parametrize(
    ("split", "remedy"),
    [("train", "encode all files together"), ("valid", "name all parts with --valid-subset valid,valid1")],
)
def test_parts_of_a_split_are_not_left_out_in_silence(tmp_path, data_bin, make_task, split, remedy):
    data = shutil.copytree(data_bin, tmp_path / "data")
    for ending in ("bin", "idx"):
        shutil.copy(data / f"valid.{ending}", data / f"{split}1.{ending}")
    task = make_task(data=str(data))
    with pytest.raises(InputError, match=f"{split}1 stands beside .*{split}, .*: {remedy}"):
        task.load_dataset(split, combine=True)
    assert len(task.load_dataset(split))
