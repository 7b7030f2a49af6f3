"""Out to transformers and back, and the other way round."""

import json
import lzma
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fairseq_electra
from fairseq_electra.errors import InputError
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import export_transformers as exporting
from fairseq_electra.interchange import import_transformers as importing
from fairseq_electra.interchange import names, parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.transformers_folder import read_folder
from fairseq_electra.pretraining.wordpiece import symbols_of
from tests.helpers.commands import electra, electra_process
from tests.helpers.imported_models import assert_pre_training_goes_on, fine_tune
from tests.helpers.paths import ROOT
from tests.helpers.transformers_models import edit, transformers

WIKIPEDIA = ROOT.parent / "shared" / "data" / "corpora" / "wikipedia_en" / "wiki.valid.txt.xz"
STRANGE = [
    *["a <s> b </s> <pad> <mask> <unk> [MASK] [CLS] [SEP]", "Ünïcödé café naïve Ærøskøbing ﬁne"],
    *[
        "中文字符 and 日本語 or 한국어",
        "emoji 😀👩‍👩‍👧 🇫🇷 zero​width",
        "tab\there, nbsp and\x00control \ufffd",
    ],
    *["x" * 250 + " " + "y" * 150, "don't  stop   — “quotes” … 3.14 $5", ""],
]


def same(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "learned"},
        {"positions": "learned", "tie_embeddings": "tokens", "generator_hidden_size": 0.5},
        {"positions": "learned", "tie_embeddings": "none", "embedding_size": 32, "generator_layers": 0.5},
        {
            "positions": "learned",
            "untie_lm_head": True,
            "generator_num_attention_heads": 4,
            "generator_intermediate_size": 20,
        },
        {"positions": "rotary"},
        {"positions": "rotary", "tie_embeddings": "none", "untie_lm_head": True},
    ],
)
def test_ours_to_transformers_and_back_is_equal_to_the_bit(tmp_path, pretrained, changes):
    ours = pretrained(**changes)
    lines = export_transformers(ours, tmp_path / "out")
    assert "largest difference" in lines[-1]
    modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert len(modes) == 1  # who can read one file can read all
    back = read_folder(tmp_path / "out")
    before, after = ours.model.state_dict(), back.pretrained.model.state_dict()
    if changes["positions"] == "rotary":
        assert (
            sum("no class for p(replaced)" in line for line in lines) == len(back.pretrained.initialised) == 4
        )
        before, after = (
            {n: t for n, t in s.items() if not n.startswith("discriminator_head.")} for s in (before, after)
        )
    same(before, after)
    assert symbols_of(back.pretrained.tokenizer) == ours.symbols
    assert back.order.tolist() == list(range(len(ours.symbols)))


@pytest.mark.parametrize("family", ["Electra", "RoFormer"])
@pytest.mark.parametrize("tie", [True, False])
def test_theirs_to_fairseq_and_back_is_equal_to_the_bit(tmp_path, make_theirs, family, tie):
    made = make_theirs(family, tie=tie)
    import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    loaded = load_checkpoint(tmp_path / "in" / "checkpoint.pt")
    order = read_folder(made.folder).order
    export_transformers(loaded, tmp_path / "out")
    for place in (".", "generator"):
        before, after = (
            load_file(folder / place / "model.safetensors") for folder in (made.folder, tmp_path / "out")
        )
        assert len(after) >= 20
        for name, tensor in after.items():
            if name not in before:  # transformers writes a tensor that serves twice under one of its names
                other = {
                    "cls.predictions.bias": "cls.predictions.decoder.bias",
                    "cls.predictions.decoder.bias": "cls.predictions.bias",
                }[name]
                assert torch.equal(tensor, before[other][order]), name
                continue
            if name == "cls.predictions.bias" and not tie:
                continue  # not read by transformers: cls.predictions.decoder.bias is
            of_vocabulary = tensor.shape[0] == len(order) and tensor.dim() <= 2
            assert torch.equal(tensor, before[name][order] if of_vocabulary else before[name]), name
        assert {name for name in before if name not in after} <= {
            "cls.predictions.decoder.bias",
            "cls.predictions.decoder.weight",
        }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_folder_in_16_bits_is_imported(tmp_path, make_theirs, dtype):
    """The table of sines is rounded there too."""
    made = make_theirs("RoFormer")
    for place in (".", "generator"):
        path = made.folder / place / "model.safetensors"
        save_file({n: t.to(dtype) for n, t in load_file(path).items()}, path, metadata={"format": "pt"})
    assert "largest difference" in import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")[-1]
    tensors = load_file(path)
    table = next(tensors[name] for name in tensors if "embed_positions" in name)
    table[3, 1] *= 1 + 2 * torch.finfo(dtype).eps  # the next number
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match="is not the table of sines that rotary positions have"):
        read_folder(made.folder)


def test_networks_of_export_every_parameter(pretrained):
    model = pretrained(positions="learned", untie_lm_head=True, tie_embeddings="none").model
    written = 0
    for network in exporting.networks_of(
        pretrained(positions="learned", untie_lm_head=True, tie_embeddings="none")
    ):
        written += sum(tensor.numel() for tensor in network.tensors.values())
    assert written == sum(tensor.numel() for tensor in model.parameters())


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize("cased", [False, True])
def test_their_tokenizer_gives_the_same_ids_in_our_order(make_theirs, corpus_lines, kind, cased):
    made = make_theirs(generator=None, tokenizer=kind, cased=cased)
    theirs = transformers.AutoTokenizer.from_pretrained(made.folder)
    imported = read_folder(made.folder)
    order = imported.order.tolist()
    for text in [*corpus_lines[:200], *STRANGE]:
        expected = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ours = imported.pretrained.tokenizer.encode(text, add_special_tokens=False).ids
        assert [order[i] for i in ours] == expected, text


def test_words_that_were_added_to_their_tokenizer_stay_whole(tmp_path, make_theirs):
    made = make_theirs(generator=None)
    theirs = transformers.AutoTokenizer.from_pretrained(made.folder)
    theirs.add_tokens(["extraword", "Two Words"])
    made.discriminator.resize_token_embeddings(len(theirs))
    for part in (made.discriminator, theirs):
        part.save_pretrained(made.folder)
    imported = read_folder(made.folder)
    order = imported.order.tolist()
    for text in ["the extraword is", "anextrawordis Two Words", "two words"]:
        ours = imported.pretrained.tokenizer.encode(text, add_special_tokens=False).ids
        assert [order[i] for i in ours] == theirs(text, add_special_tokens=False)["input_ids"]


def test_our_tokenizer_gives_the_same_ids_in_transformers_on_ten_thousand_lines(
    tmp_path, pretrained, corpus_lines
):
    ours = pretrained()
    export_transformers(ours, tmp_path / "out")
    lines = [line for line in corpus_lines if line]
    if WIKIPEDIA.is_file():
        with lzma.open(WIKIPEDIA, "rt", encoding="utf-8") as stream:
            lines += [line.rstrip("\n") for line in stream if line.strip()]
        with lzma.open(WIKIPEDIA.with_name("wiki.test.txt.xz"), "rt", encoding="utf-8") as stream:
            lines += [line.rstrip("\n") for line in stream if line.strip()]
        with lzma.open(WIKIPEDIA.with_name("wiki.train0.txt.xz"), "rt", encoding="utf-8") as stream:
            lines += [
                line.rstrip("\n") for line, _ in zip(stream, range(12_000), strict=False) if line.strip()
            ]
        lines = lines[:10_000]
    lines += STRANGE
    for place in (".", "generator"):
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out" / place)
        expected = theirs(lines, add_special_tokens=False)["input_ids"]
        found = [encoding.ids for encoding in ours.tokenizer.encode_batch(lines, add_special_tokens=False)]
        assert found == expected
    pair = theirs("a line", "and another")
    assert pair["input_ids"][0] == 0 and pair["input_ids"].count(2) == 2
    assert sum(pair["token_type_ids"]) == len(theirs("and another")["input_ids"]) - 1
    assert (
        theirs("a <mask>", split_special_tokens=False)["input_ids"][-2]
        == theirs.mask_token_id
        == len(ours.symbols) - 1
    )
    if not WIKIPEDIA.is_file():
        pytest.skip(f"the lines of Wikipedia were not compared: no {WIKIPEDIA.name}")


FULL_SIZE = {
    "small": (
        (
            {
                "embedding_size": 128,
                "hidden_size": 256,
                "intermediate_size": 1024,
                "num_hidden_layers": 12,
                "num_attention_heads": 4,
            },
        )
        * 2
    ),
    "base": (
        {
            "embedding_size": 768,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
        },
        {
            "embedding_size": 768,
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 12,
            "num_attention_heads": 4,
        },
    ),
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "options"),
    [
        pytest.param("small", {}, marks=pytest.mark.by_hand),
        ("small", {"tie": False, "tokenizer": "vocab.txt"}),
        ("base", {"cased": True, "safe": False}),
    ],
)
def test_a_full_size_net_is_imported_goes_on_and_is_fine_tuned(
    tmp_path, make_theirs, corpus_lines, size, options
):
    sizes, generator = FULL_SIZE[size]
    made = make_theirs(sizes=sizes, generator=generator, **options)
    checkpoint = tmp_path / "in" / "checkpoint.pt"
    done = electra_process("import", made.folder, checkpoint)
    assert "largest difference" in done.stdout and "initialised" not in done.stdout
    assert_pre_training_goes_on(checkpoint, corpus_lines[:120], tmp_path)
    last = fine_tune(checkpoint, tmp_path)
    done = electra("export", "--to", "transformers", last, tmp_path / "out", "--vocab", checkpoint.parent)
    assert "ElectraForSequenceClassification" in done.stdout and "largest difference" in done.stdout
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    ours = fairseq_electra.from_pretrained(last, vocabulary=checkpoint.parent)
    assert ours.labels["sentence_classification_head"] == list(classifier.config.id2label.values())
    assert set(classifier.config.id2label.values()) == {"yes", "no"}
    with torch.no_grad():
        expected = classifier.double()(ours.encode("the name is good")[None]).logits
    found = ours.double().predict("sentence_classification_head", "the name is good", return_logits=True)
    assert (found - expected).abs().max() < 1e-11


def test_a_missing_generator_is_initialised_and_said_so(tmp_path, make_theirs):
    made = make_theirs(generator=None)
    done = electra("import", made.folder, tmp_path / "in" / "checkpoint.pt", "--seed", "7")
    assert "not in the folder, initialised with --seed 7: generator, generator_head" in done.stdout


def test_import_reads_models_without_heads(tmp_path, make_theirs):
    made = make_theirs(generator=None, class_name="ElectraModel")
    lines = import_transformers(made.folder, tmp_path / "bare" / "checkpoint.pt")
    assert any("discriminator_head" in line for line in lines)


@pytest.mark.parametrize(
    ("class_name", "random"),
    [
        ("ElectraModel", {"discriminator_head", "generator", "generator_head"}),
        ("ElectraForPreTraining", {"generator", "generator_head"}),
    ],
)
def test_what_an_import_has_drawn_at_random_is_not_exported(tmp_path, make_theirs, class_name, random):
    made = make_theirs(generator=None, class_name=class_name)
    import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    lines = export_transformers(load_checkpoint(tmp_path / "in" / "checkpoint.pt"), tmp_path / "out")
    for part in random:
        reason = f"the {part.replace('_', ' ')} is still random: the folder that was imported has none"
        assert f"left out: {part}: {reason}" in lines
        assert reason in (tmp_path / "out" / "README.md").read_text()
    assert not (tmp_path / "out" / "generator").exists()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [class_name]
    back = read_folder(tmp_path / "out").pretrained.initialised
    assert {name.split(".")[0] for name in back} == random


def test_a_head_is_known_by_its_tensors_where_no_class_is_named(tmp_path, make_theirs):
    made = make_theirs()
    for place in (".", "generator"):
        edit(made.folder / place / "config.json", architectures=None)
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert not any("initialised" in line for line in lines)


def swap_query_and_key(monkeypatch):
    query, key, value = names.LAYER["attention.qkv.weight"]
    monkeypatch.setitem(names.LAYER, "attention.qkv.weight", (key, query, value))


def swap_layer_norms(monkeypatch):
    monkeypatch.setitem(names.LAYER, "attention_layer_norm.weight", names.LAYER["output_layer_norm.weight"])
    monkeypatch.setitem(names.LAYER, "output_layer_norm.weight", "attention.output.LayerNorm.weight")


@pytest.mark.parametrize("fault", [swap_query_and_key, swap_layer_norms])
def test_parity_notices_a_wrong_name_and_leaves_nothing_behind(
    tmp_path, pretrained, make_theirs, monkeypatch, fault
):
    ours, made = pretrained(positions="learned"), make_theirs()
    fault(monkeypatch)
    with pytest.raises(InputError, match=r"differ from transformers' by .* nothing was written"):
        export_transformers(ours, tmp_path / "out" / "folder")
    with pytest.raises(InputError, match=r"differ from transformers' by .* nothing was written"):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert not (tmp_path / "in").exists() and not list((tmp_path / "out").iterdir())


def test_parity_looks_at_padding_pairs_and_all_of_the_vocabulary(pretrained):
    rows = parity.rows_of_text(pretrained().tokenizer, 512)
    ends = (rows == 2).sum(1)
    assert (
        (rows == 1).any()
        and (ends == 1).any()
        and (ends == 2).any()
        and len(set((rows != 1).sum(1).tolist())) >= 6
    )
    assert parity.rows_of_text(pretrained().tokenizer, 16).shape[1] == 16


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def no_model(folder):
    (folder / "config.json").unlink()


def other_type(folder):
    edit(folder / "config.json", model_type="albert")


def other_activation(folder):
    edit(folder / "config.json", hidden_act="relu")


def dropout_of_text(folder):
    edit(folder / "config.json", hidden_dropout_prob="0.1")


def type_in_a_list(folder):
    edit(folder / "config.json", model_type=["electra"])


def classes_as_text(folder):
    edit(folder / "config.json", architectures="ElectraModel")


def config_no_json(folder):
    (folder / "config.json").write_text("{")


def other_width(folder):
    edit(folder / "config.json", intermediate_size=64)


def more_layers(folder):
    edit(folder / "config.json", num_hidden_layers=3)


def fewer_layers(folder):
    edit(folder / "config.json", num_hidden_layers=1)


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def tampered_header(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**60) + data[8:])


def not_finite(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["electra.encoder.layer.0.output.dense.bias"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors")


def query_of_another_shape(folder):
    name = "electra.encoder.layer.0.attention.self.query.weight"
    save_file(
        {**load_file(folder / "model.safetensors"), name: torch.ones(5, 7)}, folder / "model.safetensors"
    )


def unknown_tensor(folder):
    save_file(
        {**load_file(folder / "model.safetensors"), "electra.encoder.relative": torch.ones(2)},
        folder / "model.safetensors",
    )


def vocabulary_of_another_size(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")


def no_vocabulary(folder):
    (folder / "tokenizer.json").unlink()


def damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


def pickled(folder):
    (folder / "model.safetensors").unlink()
    with open(folder / "pytorch_model.bin", "wb") as stream:
        pickle.dump({"a": Evil()}, stream)


def code_in_bin(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": Evil()}, folder / "pytorch_model.bin")


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def generator_of_another_embedding(folder):
    edit(folder / "generator" / "config.json", max_position_embeddings=64)
    tensors = load_file(folder / "generator" / "model.safetensors")
    name = "electra.embeddings.position_embeddings.weight"
    save_file({**tensors, name: tensors[name][:64].clone()}, folder / "generator" / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_model, "has no config.json"),
        (other_type, "model type 'albert'"),
        (other_activation, "asks for hidden_act 'relu'"),
        (config_no_json, "is no JSON"),
        (dropout_of_text, "hidden_dropout_prob '0.1'; it must be a number"),
        (type_in_a_list, "model type ['electra']"),
        (classes_as_text, "architectures 'ElectraModel'; it must be a list"),
        (other_width, "do not belong together"),
        (more_layers, "lacks the tensor electra.encoder.layer.2"),
        (fewer_layers, "has a tensor electra.encoder.layer.1"),
        (truncated, "damaged or cut short"),
        (tampered_header, "damaged or cut short"),
        (not_finite, "not finite"),
        (query_of_another_shape, "must have one shape"),
        (unknown_tensor, "has a tensor electra.encoder.relative"),
        (vocabulary_of_another_size, "has 6 entries, but the network's token table"),
        (no_vocabulary, "no tokenizer.json or vocab.txt"),
        (damaged_tokenizer, "is no tokenizer"),
        (pickled, "pytorch_model.bin"),
        (code_in_bin, "which is code"),
        (no_weights, "no model.safetensors or pytorch_model.bin"),
        (generator_of_another_embedding, "same max_position_embeddings"),
    ],
)
def test_import_refuses_bad_folders_in_one_sentence(tmp_path, make_theirs, monkeypatch, spoil, sentence):
    made = make_theirs()
    spoil(made.folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "in").exists() and not (tmp_path / "executed").exists()


def test_import_and_export_refuse_to_overwrite_before_reading_anything(
    tmp_path, make_theirs, pretrained, monkeypatch
):
    made = make_theirs()
    monkeypatch.setattr(importing, "read_folder", lambda *_, **__: pytest.fail("read"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "checkpoint.pt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    (tmp_path / "in" / "checkpoint.pt").rename(tmp_path / "in" / "dict.txt")
    with pytest.raises(InputError, match="is there already"):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    with pytest.raises(InputError, match="exists and is not empty"):
        export_transformers(pretrained(), tmp_path / "in")
    assert (tmp_path / "in" / "dict.txt").read_text() == "mine" and len(
        list((tmp_path / "in").iterdir())
    ) == 1


def test_the_commands_say_what_is_missing_in_one_sentence(tmp_path):
    done = electra("import", tmp_path, tmp_path / "c.pt", check=False)
    assert (
        done.returncode == 1
        and len(done.stderr.strip().splitlines()[-1:]) == 1
        and "has no config.json" in done.stderr
    )
    done = electra("export", "--to", "transformers", tmp_path / "absent.pt", tmp_path / "out", check=False)
    assert done.returncode == 1 and "no such checkpoint" in done.stderr and not (tmp_path / "out").exists()


def test_the_sum_of_a_disentangled_table_is_compared_as_the_folder_holds_it(tmp_path, pretrained):
    ours = pretrained(positions="learned", tie_embeddings="gdes")
    table = ours.model.embeddings.tokens
    with torch.no_grad():  # parts whose sum float32 rounds
        table.difference.weight.normal_(generator=torch.Generator().manual_seed(2))
    exact = parity.in_double(ours.model).embeddings.tokens.weight
    assert (exact - table.weight.double()).abs().max() < 1e-15
    lines = export_transformers(ours, tmp_path / "out")
    assert "largest difference" in lines[-1]
