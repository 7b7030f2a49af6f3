"""Modern sizes out to transformers' ModernBERT and back, and published forms of ModernBERT in."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from fairseq_electra.electra.configuration import encoder_sizes
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.hub.network_files import read_network
from fairseq_electra.interchange import import_transformers as importing
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers, networks_of
from fairseq_electra.interchange.import_transformers import compare
from fairseq_electra.interchange.modernbert_config import config_entries, read_traits
from fairseq_electra.interchange.rotary_halves import as_halves, as_pairs, rotating_in_double
from fairseq_electra.interchange.transformers_folder import nearest, read_folder
from tests.helpers.small_model import randomize_parameters
from tests.helpers.transformers_models import edit, transformers, write_tokenizer

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "local_attention": 12,
    "max_position_embeddings": 96,
}
OURS = {
    "model_size": "modern_tiny",
    "embedding_size": 32,
    "local_window": 12,
    "num_hidden_layers": 5,
    "generator_layers": 0.4,
    "rotary_base": 5000.0,
}


def save_modernbert(folder, pieces, class_name="ModernBertForMaskedLM", std=0.1, **more):
    """Save a model of transformers with random weights, with a tokenizer."""
    config = transformers.ModernBertConfig(vocab_size=len(pieces), pad_token_id=0, **(SMALL | more))
    model = getattr(transformers, class_name)(config).eval()
    randomize_parameters(model, std=std)
    model.save_pretrained(folder)
    write_tokenizer(folder, pieces, "tokenizer.json", cased=False)
    return folder


def largest(found):
    return max(value for values in found.values() for value in values.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": "none", "untie_lm_head": True, "norm_kind": "layernorm", "norm_eps": 1e-4},
        {"tie_embeddings": "tokens", "local_window": 0, "global_every": 3},
        {"global_every": 2, "local_rotary_base": 500.0, "generator_layers": 0.2},
    ],
    ids=str,
)
def test_ours_to_transformers_and_back_is_equal_to_the_bit(tmp_path, pretrained, changes):
    ours = pretrained(**(OURS | changes))
    lines = export_transformers(ours, tmp_path / "out")
    assert "ModernBertForTokenClassification" in "\n".join(lines) and "left out" not in "\n".join(lines)
    back = read_folder(tmp_path / "out")
    before, after = ours.model.state_dict(), back.pretrained.model.state_dict()
    assert before.keys() == after.keys() and not back.pretrained.initialised
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    assert largest(compare(back)) < 1e-9
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "replaced"}
    told = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert told["model_input_names"] == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("changes", [{"global_every": 2, "local_rotary_base": 500.0}, {"local_window": 0}])
def test_an_exported_config_says_the_same_to_older_versions_of_transformers(changes, tmp_path):
    """Before version 5 they read neither layer_types nor rope_parameters."""
    sizes = encoder_sizes({**OURS, **changes})
    entries = config_entries(sizes)
    del entries["layer_types"], entries["rope_parameters"]
    assert read_traits(entries, tmp_path) == read_traits(config_entries(sizes), tmp_path)


def test_transformers_before_version_5_is_refused():
    older = SimpleNamespace(config=SimpleNamespace(model_type="modernbert"))
    with pytest.raises(InputError, match="needs transformers 5 or newer"), rotating_in_double(older):
        pass


def test_an_exported_discriminator_gives_p_replaced_in_transformers(tmp_path, pretrained):
    ours = pretrained(**OURS)
    export_transformers(ours, tmp_path / "out")
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = tokenizer(["the name is good", "a list"], ["of words", "the"], padding=True, return_tensors="pt")
    padding = batch["attention_mask"] == 0
    assert padding.any() and "token_type_ids" not in batch
    with torch.no_grad():
        found = theirs(**batch).logits[..., 0]
        expected = ours.model.discriminate(batch["input_ids"], batch["input_ids"] * 0, padding)
    # transformers turns queries and keys in float32
    assert torch.allclose(found[~padding], expected[~padding], atol=1e-4)
    assert expected[~padding].std() > 0.01


def test_documents_of_packed_rows_are_what_transformers_makes_of_each_alone(tmp_path, pretrained):
    ours = pretrained(**OURS)
    export_transformers(ours, tmp_path / "out")
    theirs = transformers.ModernBertForTokenClassification.from_pretrained(tmp_path / "out").double().eval()
    model, ends = parity.in_double(ours.model), [21, 40, 47]
    tokens = torch.randint(5, len(ours.symbols), (1, ends[-1]))
    documents = PackedDocuments.of(torch.tensor([ends]), ends[-1])
    with torch.no_grad(), rotating_in_double(theirs):
        found = model.discriminate(tokens, tokens * 0, None, documents)[0]
        alone = [tokens[:, begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        expected = torch.cat([theirs(input_ids=each).logits[0, :, 0] for each in alone])
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("name", ["attention.qkv", "final norm", "head norm"])
def test_a_number_that_is_wrong_is_found(pretrained, tmp_path, monkeypatch, name):
    ours = pretrained(**OURS)
    export = networks_of

    def wrong(model):
        networks = export(model)
        key = {"attention.qkv": "model.layers.1.attn.Wqkv.weight", "final norm": "model.final_norm.weight"}
        tensor = networks[0].tensors[key.get(name, "head.norm.weight")]
        tensor.view(-1)[3] += 0.01
        return networks

    monkeypatch.setattr("fairseq_electra.interchange.export_transformers.networks_of", wrong)
    with pytest.raises(InputError, match="differ from transformers' by"):
        export_transformers(ours, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_angles_of_another_base_are_found(tmp_path, their_pieces):
    read = read_folder(save_modernbert(tmp_path / "theirs", their_pieces))
    network = read.networks["discriminator"]
    network.config = network.config | {"rope_parameters": None, "global_rope_theta": 10.0}
    with pytest.raises(InputError, match="differ from transformers' by"):
        parity.check(compare(read))


def test_as_pairs_undoes_as_halves():
    sizes = MODEL_SIZES["modern_tiny"].encoder
    weight = torch.randn(3 * 128, 128)
    tensors = {f"e.layers.{i}.attention.qkv.weight": weight for i in range(4)}
    halves = as_halves(tensors, "e.", sizes)["e.layers.0.attention.qkv.weight"]
    # of the first head: numbers 0, 2, ..., 62, and then 1, 3, ..., 63
    assert torch.equal(halves[:64], torch.cat([weight[0:64:2], weight[1:64:2]]))
    assert torch.equal(halves[256:], weight[256:])
    back = as_pairs(as_halves(tensors, "e.", sizes), "e.", sizes)
    assert all(torch.equal(back[name], weight) for name in tensors)


@pytest.mark.parametrize(
    ("class_name", "more"),
    [
        ("ModernBertForMaskedLM", {}),
        ("ModernBertForMaskedLM", {"classifier_bias": True, "norm_bias": True, "tie_word_embeddings": False}),
        ("ModernBertForMaskedLM", {"decoder_bias": False}),
        ("ModernBertModel", {"norm_eps": 1e-3}),
        ("ModernBertForTokenClassification", {"num_labels": 1}),
        ("ModernBertForTokenClassification", {"num_labels": 1, "classifier_bias": True}),
    ],
)
def test_theirs_is_imported(tmp_path, their_pieces, class_name, more):
    folder = save_modernbert(tmp_path / "theirs", their_pieces, class_name, **more)
    back = read_folder(folder)
    found = compare(back)
    assert largest(found) < 1e-9
    scored = {role for role, values in found.items() if "scores" in values}
    initialised = {name.split(".")[0] for name in back.pretrained.initialised}
    if class_name == "ModernBertForMaskedLM":
        assert list(found) == ["discriminator", "generator"] and scored == {"generator"}
        assert initialised == {"discriminator_head"} and "ModernBERT's encoder is the" in back.notes[0]
    else:
        assert list(found) == ["discriminator"]
        assert initialised >= {"generator", "generator_head"} and ("discriminator_head" in initialised) is (
            class_name == "ModernBertModel"
        )
        assert len(back.pretrained.model.generator.layers) == 2  # a third of 5
    assert back.model_cfg["model_size"] == "modern_tiny"


def test_older_keys_of_a_config_are_read(tmp_path, their_pieces):
    more = {"local_attention": 10}
    rope = {"full_attention": {"rope_theta": 700.0}, "sliding_attention": {"rope_theta": 90.0}}
    types = ["full_attention", "sliding_attention"] * 2 + ["full_attention"]
    folder = save_modernbert(
        tmp_path / "theirs", their_pieces, **more, rope_parameters=rope, layer_types=types
    )
    new = read_network(folder).sizes
    assert (new.rotary_base, new.local_rotary_base, new.global_every, new.local_window) == (700, 90, 2, 10)
    config = json.loads((folder / "config.json").read_text())
    for name in ("rope_parameters", "layer_types"):
        del config[name]
    config |= {"global_attn_every_n_layers": 2, "global_rope_theta": 700.0, "local_rope_theta": 90.0}
    (folder / "config.json").write_text(json.dumps(config))
    back = read_folder(folder)
    assert back.networks["discriminator"].sizes == new and largest(compare(back)) < 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_activation": "silu"}, "asks for hidden_activation 'silu'"),
        ({"classifier_activation": "relu"}, "asks for classifier_activation 'relu'"),
        ({"attention_bias": True}, "asks for attention_bias True"),
        ({"mlp_bias": True}, "asks for mlp_bias True"),
        ({"embedding_dropout": 0.1}, "asks for embedding_dropout 0.1"),
        ({"layer_types": ["sliding_attention"] * 5}, "has layer_types"),
        ({"layer_types": ["full_attention"] * 4}, "has layer_types"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "has rope_parameters"),
        ({"rope_parameters": {"rope_theta": 5.0}}, "has rope_parameters"),
        ({"rope_scaling": {"factor": 2.0}}, "asks for rope_scaling"),
        ({"global_attn_every_n_layers": 0}, "has global_attn_every_n_layers 0"),
        ({"norm_eps": "small"}, "has norm_eps 'small'; it must be a number"),
        ({"norm_eps": 0}, "--norm-eps must be above 0"),
        ({"norm_eps": math.inf}, "--norm-eps must be above 0"),
        ({"local_attention": True}, "has local_attention True; it must be a whole number from 2 on"),
        ({"local_attention": 1}, "has local_attention 1; it must be a whole number from 2 on"),
        (
            {"architectures": ["ModernBertForSomething"]},
            "names the class ModernBertForSomething, which cannot",
        ),
        ({"architectures": None}, "names the class None, which cannot be imported; to import the encoder"),
        ({"norm_bias": True}, "lacks the tensor model.embeddings.norm.bias"),
        ({"classifier_bias": True}, "lacks the tensor head.dense.bias"),
        ({"num_attention_heads": 3}, "cannot be shared by 3 attention"),
        ({"hidden_size": 64}, "has the shape"),
    ],
    ids=str,
)
def test_what_computes_something_else_is_refused(tmp_path, their_pieces, changes, message):
    folder = save_modernbert(tmp_path / "theirs", their_pieces)
    edit(folder / "config.json", **changes)
    with pytest.raises(InputError, match=message):
        read_folder(folder)


def test_what_transformers_refuses_alone_ends_in_a_sentence(tmp_path, their_pieces):
    folder = save_modernbert(tmp_path / "theirs", their_pieces)
    edit(folder / "config.json", attn_implementation="flash_attention_2")
    with pytest.raises(InputError, match="transformers cannot build the model with these entries"):
        importing.transformers_model(read_folder(folder))


def test_the_encoder_alone_is_imported_where_config_names_it(tmp_path, their_pieces):
    folder = save_modernbert(tmp_path / "theirs", their_pieces)
    edit(folder / "config.json", architectures=["ModernBertModel"])
    back = read_folder(folder)
    assert set(back.unused.values()) == {"ModernBERT's head"} and largest(compare(back)) < 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedding_size": 16}, "ModernBERT has no projection behind the embeddings"),
        ({"generator_hidden_size": 0.5}, "ModernBERT has no projection behind the embeddings"),
        ({"norm": "post"}, "--norm post: the export to transformers would be wrong"),
        ({"norm_kind": "rmsnorm"}, "--norm-kind rmsnorm: the export to transformers would be wrong"),
        ({"feed_forward": "gelu"}, "--feed-forward gelu: the export to transformers would be wrong"),
    ],
    ids=str,
)
def test_export_refuses_what_modernbert_is_not(pretrained, changes, message):
    with pytest.raises(InputError, match=message):
        networks_of(pretrained(**(OURS | changes)))


def test_another_generator_may_be_given_but_not_one_with_other_traits(tmp_path, their_pieces):
    main = save_modernbert(tmp_path / "theirs", their_pieces)
    other = save_modernbert(tmp_path / "other", their_pieces, num_hidden_layers=1)
    back = read_folder(main, generator=other)
    assert len(back.pretrained.model.generator.layers) == 1 and largest(compare(back)) < 1e-9
    for name, value in (("norm_eps", 1e-6), ("local_attention", 20)):
        more = {"num_hidden_layers": 2} if name == "local_attention" else {}
        other = save_modernbert(tmp_path / name, their_pieces, **{name: value}, **more)
        with pytest.raises(InputError, match=r"must have the same (norm_eps|local_window), and have"):
            read_folder(main, generator=other)


@pytest.mark.parametrize("size", ["modern_tiny", "modern_small", "modern_base"])
def test_nearest_finds_the_modern_sizes(size):
    assert nearest(MODEL_SIZES[size].encoder) == size


def test_a_modern_folder_is_a_checkpoint(tmp_path, their_pieces):
    folder = save_modernbert(tmp_path / "theirs", their_pieces, "ModernBertModel")
    lines = importing.import_transformers(folder, tmp_path / "in" / "checkpoint.pt")
    assert "initialised with --seed 1: discriminator_head, generator, generator_head" in "\n".join(lines)
    saved = torch.load(tmp_path / "in" / "checkpoint.pt", weights_only=True)
    table = load_file(folder / "model.safetensors")["embeddings.tok_embeddings.weight"]
    assert sorted(saved["model"]["embeddings.tokens.weight"].sum(1).tolist()) == pytest.approx(
        sorted(table.sum(1).tolist())
    )
