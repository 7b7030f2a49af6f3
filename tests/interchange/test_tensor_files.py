"""Files of tensors: in parts, and with the prefixes that wrappers leave in names."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.tensor_files import read_tensors

NAMES = ["electra.embeddings.LayerNorm.weight", "electra.encoder.weight", "head.bias"]


def made(prefix=""):
    draws = torch.Generator().manual_seed(1)
    return {prefix + name: torch.randn(3, 2, generator=draws) for name in NAMES}


def write_shards(folder, tensors, kind="safetensors"):
    """Write every tensor into a file of its own, and the index."""
    stem, files = ("model" if kind == "safetensors" else "pytorch_model"), {}
    for number, (name, tensor) in enumerate(tensors.items(), 1):
        files[name] = f"{stem}-{number:05}-of-{len(tensors):05}.{kind}"
        (save_file if kind == "safetensors" else torch.save)({name: tensor}, folder / files[name])
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 72}, "weight_map": files}))
    return index


def same(found, expected):
    assert found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_read_tensors_reads_files_in_parts_as_one(tmp_path, kind):
    index = write_shards(tmp_path, made(), kind)
    found, source = read_tensors(tmp_path)
    same(found, made())
    assert source == index


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("parts", [False, True])
def test_read_tensors_removes_prefixes_of_wrappers(tmp_path, prefix, parts):
    if parts:
        write_shards(tmp_path, made(prefix))
    else:
        save_file(made(prefix), tmp_path / "model.safetensors")
    same(read_tensors(tmp_path)[0], made())


def test_read_tensors_keeps_a_prefix_that_some_names_lack(tmp_path):
    tensors = {"module.a": torch.ones(1), "b": torch.ones(1)}
    save_file(tensors, tmp_path / "model.safetensors")
    same(read_tensors(tmp_path)[0], tensors)


def test_read_tensors_prefers_a_single_file_to_parts(tmp_path):
    write_shards(tmp_path, made())
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert list(read_tensors(tmp_path)[0]) == ["a"]


def test_a_network_of_transformers_in_parts_under_a_prefix_is_read(tmp_path, make_theirs):
    from fairseq_electra.interchange.transformers_folder import read_folder

    made = make_theirs(generator=None)
    expected = read_folder(made.folder).pretrained.model.state_dict()
    tensors = load_file(made.folder / "model.safetensors")
    (made.folder / "model.safetensors").unlink()
    write_shards(made.folder, {f"module.{name}": tensor for name, tensor in tensors.items()})
    same(read_folder(made.folder).pretrained.model.state_dict(), expected)


def part_absent(folder):
    (folder / "model-00002-of-00003.safetensors").unlink()


def part_cut_short(folder):
    path = folder / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def part_of_another_net(folder):
    save_file({"other": torch.ones(1)}, folder / "model-00002-of-00003.safetensors")


def index_no_json(folder):
    (folder / "model.safetensors.index.json").write_text("{")


def index_without_map(folder):
    (folder / "model.safetensors.index.json").write_text('{"metadata": {}}')


def index_of_numbers(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": 1}}')


def index_that_leads_elsewhere(folder):
    save_file({"a": torch.ones(1)}, folder.parent / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            part_absent,
            "lacks model-00002-of-00003.safetensors, which model.safetensors.index.json lists; copy it there",
        ),
        (part_cut_short, "damaged or cut short"),
        (part_of_another_net, "lacks the tensor electra.encoder.weight"),
        (index_no_json, "is no JSON"),
        (index_without_map, "lists no files of tensors"),
        (index_of_numbers, "lists no files of tensors"),
        (index_that_leads_elsewhere, "'../secret.safetensors', which is not the name of a file beside it"),
    ],
)
def test_read_tensors_names_damaged_parts_in_one_sentence(tmp_path, spoil, sentence):
    folder = tmp_path / "net"
    folder.mkdir()
    write_shards(folder, made())
    spoil(folder)
    with pytest.raises(InputError) as caught:
        read_tensors(folder)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
