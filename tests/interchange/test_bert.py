"""BERT, and folders of sentence-transformers: read as ELECTRA, compared with transformers' own nets."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

import fairseq_electra
from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.imported_models import assert_pre_training_goes_on, fine_tune
from tests.helpers.paths import ROOT
from tests.helpers.transformers_models import SMALL, transformers

SIZES = {name: size for name, size in SMALL.items() if name != "embedding_size"}
DATA = ROOT.parent / "shared" / "data"
MINILM, STS = DATA / "models" / "all-MiniLM-L6-v2", DATA / "glue" / "STS-B" / "dev.tsv"
PAD = 1
published = pytest.mark.skipif(not MINILM.is_dir(), reason=f"no {MINILM.name} in shared/data/models")


@pytest.fixture
def make_bert(make_theirs):
    """Save a BERT with random weights."""

    def make(class_name="BertModel", **more):
        return make_theirs("Bert", sizes=SIZES, generator=None, class_name=class_name, **more)

    return make


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def inputs_of(rows, order):
    padding = rows == PAD
    segments = ((rows == 2).long().cumsum(1) - (rows == 2).long()).clamp(max=1).masked_fill(padding, 0)
    return (
        {"input_ids": order[rows], "token_type_ids": segments, "attention_mask": (~padding).long()},
        padding,
        segments,
    )


def assert_exported_as_electra(checkpoint, folder, source, order, family=""):
    """Check that the export is the imported file, bit for bit, with ELECTRA's names and rows in our order."""
    export_transformers(load_checkpoint(checkpoint), folder)
    before, encoder = load_file(source / "model.safetensors"), load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "electra" and config["embedding_size"] == config["hidden_size"]
    # ElectraModel, as the discriminator's head was not in the folder
    assert config["architectures"] == ["ElectraModel"] and not any(n.startswith("electra.") for n in encoder)
    theirs = {name.removeprefix(family): tensor for name, tensor in before.items()}
    rest = theirs.keys() - encoder.keys()
    assert all(name.startswith(("pooler.", "cls.", "embeddings.position_ids")) for name in rest)
    assert encoder.keys() <= theirs.keys() and len(encoder) == len(theirs) - len(rest)
    for name, tensor in encoder.items():
        expected = theirs[name]
        assert torch.equal(
            tensor, expected[order] if name == "embeddings.word_embeddings.weight" else expected
        ), name


def test_a_bert_is_the_discriminators_encoder_and_is_exported_as_electra_bit_for_bit(tmp_path, make_bert):
    made = make_bert()
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert sum("not used: discriminator: pooler." in line and "BERT's pooler" in line for line in lines) == 2
    assert "discriminator hidden states" in lines[-1] and any(
        "initialised" in line and "generator" in line for line in lines
    )
    imported = read_folder(made.folder)
    rows = parity.rows_of_text(imported.pretrained.tokenizer, 96)
    inputs, padding, segments = inputs_of(rows, imported.order)
    theirs = transformers.AutoModel.from_pretrained(made.folder).double().eval()
    states = []
    with torch.no_grad():
        expected = theirs(**inputs, output_hidden_states=True).hidden_states
        imported.pretrained.model.double().extract_features(rows, segments, padding, states)
    assert len(states) == len(expected) == 3
    for ours, them in zip(states, expected, strict=True):
        assert (ours - them)[~padding].abs().max() < 1e-11
    assert_exported_as_electra(
        tmp_path / "in" / "checkpoint.pt", tmp_path / "out", made.folder, imported.order
    )
    with pytest.raises(
        InputError,
        match=r"detect_replaced needs the discriminator head, .* it is random before it is trained",
    ):
        ElectraHubInterface(load_checkpoint(tmp_path / "in" / "checkpoint.pt")).detect_replaced("the name")


@pytest.mark.parametrize(
    ("class_name", "named", "tie"),
    [
        ("BertForMaskedLM", True, True),
        ("BertForMaskedLM", True, False),
        ("BertForPreTraining", True, True),
        ("BertForMaskedLM", False, True),
    ],
)
def test_a_bert_with_its_masked_lm_head_is_the_generator_too(tmp_path, make_bert, class_name, named, tie):
    made = make_bert(class_name, tie_word_embeddings=tie)
    if not named:
        edit(made.folder / "config.json", architectures=None)
    checkpoint = tmp_path / "in" / "checkpoint.pt"
    lines = import_transformers(made.folder, checkpoint)
    assert any("masked-LM head the generator, which is as large" in line for line in lines)
    assert sum("head for the next sentence" in line for line in lines) == 2 * (
        class_name == "BertForPreTraining"
    )
    assert (
        "discriminator hidden states" in lines[-1]
        and "generator hidden states" in lines[-1]
        and "scores" in lines[-1]
    )
    model, order = load_checkpoint(checkpoint).model.double(), read_folder(made.folder).order
    assert (model.generator_head.table is None) == tie and model.generator_embeddings is None
    rows = parity.rows_of_text(load_wordpiece(checkpoint.parent), 96)
    inputs, padding, segments = inputs_of(rows, order)
    theirs = getattr(transformers, class_name).from_pretrained(made.folder).double().eval()
    with torch.no_grad():
        found = theirs(**inputs)
        expected = found.prediction_logits if class_name == "BertForPreTraining" else found.logits
        hidden = model.extract_generator_features(rows, segments, padding)
        scores = model.generator_head(hidden, model.generator_tokens.weight)
        same = model.extract_features(rows, segments, padding)
    assert (scores - expected[..., order])[~padding].abs().max() < 1e-10
    assert torch.equal(hidden[~padding], same[~padding])


def test_a_bert_that_names_the_bare_class_or_is_given_a_generator_leaves_its_own_head(tmp_path, make_bert):
    made = make_bert("BertForMaskedLM")
    shutil.copytree(made.folder, tmp_path / "other")
    lines = import_transformers(made.folder, tmp_path / "a" / "checkpoint.pt", generator=tmp_path / "other")
    assert any(
        "not used: discriminator: cls.predictions.transform" in line and "another generator is given" in line
        for line in lines
    )
    edit(made.folder / "config.json", architectures=["BertModel"])
    lines = import_transformers(made.folder, tmp_path / "b" / "checkpoint.pt")
    assert any(
        "not used: discriminator: cls.predictions.transform" in line and "BERT's masked-LM head" in line
        for line in lines
    )
    small = load_checkpoint(tmp_path / "b" / "checkpoint.pt").model
    assert small.generator.sizes.hidden_size < small.sizes.hidden_size


@pytest.mark.parametrize("class_name", ["BertForTokenClassification", "BertForQuestionAnswering"])
def test_heads_for_tags_and_answers_are_imported(make_bert, class_name):
    made = make_bert(class_name, num_labels=5 if "Token" in class_name else 2)
    imported = read_folder(made.folder)
    rows = parity.rows_of_text(imported.pretrained.tokenizer, 96)
    inputs, padding, _ = inputs_of(rows, imported.order)
    theirs = getattr(transformers, class_name).from_pretrained(made.folder).double().eval()
    model = imported.pretrained.model.double()
    more = {"head_inputs": {"allowed": ~padding}} if "Question" in class_name else {}
    with torch.no_grad():
        found = theirs(**inputs)
        ours, _ = model(rows, classification_head_name=SENTENCE_HEAD, **more)
    pairs = (
        [(ours, found.logits)]
        if "Token" in class_name
        else [(ours.first, found.start_logits), (ours.last, found.end_logits)]
    )
    for scores, expected in pairs:
        assert (scores - expected)[~padding].abs().max() < 1e-11


@pytest.mark.parametrize(
    ("class_name", "changes", "sentence"),
    [
        (
            "BertForSequenceClassification",
            {},
            "reads BERT's pooler, as no head here does; to import the encoder alone, name BertModel",
        ),
        ("BertForMultipleChoice", {}, "reads BERT's pooler"),
        ("BertModel", {"hidden_act": "gelu_new"}, "asks for hidden_act 'gelu_new'"),
        ("BertModel", {"position_embedding_type": "relative_key"}, "asks for position_embedding_type"),
        ("BertModel", {"is_decoder": True}, "asks for is_decoder True"),
        ("BertModel", {"num_hidden_layers": 1}, "has a tensor encoder.layer.1"),
        (
            "BertModel",
            {"architectures": ["ElectraForPreTraining"], "num_hidden_layers": 3},
            "lacks the tensor encoder.layer.2",
        ),
    ],
)
def test_a_bert_that_computes_something_else_is_refused_in_one_sentence(
    tmp_path, make_bert, class_name, changes, sentence
):
    made = make_bert(class_name)
    edit(made.folder / "config.json", **changes)
    with pytest.raises(InputError) as caught:
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert sentence in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "in").exists()
    if class_name == "BertForSequenceClassification":
        edit(made.folder / "config.json", architectures=["BertModel"])
        lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
        assert any("not used: discriminator: classifier.weight" in line for line in lines)


@pytest.mark.parametrize(
    ("family", "class_name"),
    [
        ("Bert", "BertForSequenceClassification"),
        ("Bert", "BertForMultipleChoice"),
        ("RoFormer", "RoFormerForMultipleChoice"),
    ],
)
def test_a_classifier_of_no_named_class_that_may_be_for_sentences_is_refused(make_theirs, family, class_name):
    sizes = SIZES if family == "Bert" else SMALL
    made = make_theirs(family, sizes=sizes, generator=None, class_name=class_name)
    edit(made.folder / "config.json", architectures=None)
    with pytest.raises(
        InputError,
        match=f'names no class; name it under "architectures" there, such as {family}ForTokenClassification',
    ):
        read_folder(made.folder)


def test_a_tagger_of_no_named_class_is_known_by_its_tensors(make_bert):
    made = make_bert("BertForTokenClassification", num_labels=5)
    edit(made.folder / "config.json", architectures=None)
    assert read_folder(made.folder).pretrained.kind == "token_classification"


def of_sentence_transformers(folder, network=""):
    """Make a folder of sentence-transformers; old ones have the network in a subfolder."""
    modules = [
        {
            "idx": 0,
            "name": "0",
            "path": network,
            "type": f"sentence_transformers.models.{'BERT' if network else 'Transformer'}",
        },
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    if network:
        files = list(folder.iterdir())
        (folder / network).mkdir()
        for path in files:
            path.rename(folder / network / path.name)
        (folder / "config.json").write_text('{"__version__": "0.2.5"}')
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}'
    )
    (folder / network / "sentence_bert_config.json").write_text(
        '{"max_seq_length": 24, "do_lower_case": true}'
    )


@pytest.mark.parametrize("network", ["", "0_BERT"])
def test_folders_of_sentence_transformers_are_read(tmp_path, make_bert, network):
    made = make_bert()
    expected = read_folder(made.folder).pretrained
    of_sentence_transformers(made.folder, network)
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    behind = "of sentence-transformers, behind the network"
    assert (
        f"not used: 1_Pooling: Pooling {behind}; a head here reads the mean too with --pooling mean" in lines
    )
    assert f"not used: 2_Normalize: Normalize {behind}" in lines
    assert any(line.startswith("not used: do_lower_case: ") for line in lines)
    found = fairseq_electra.from_pretrained(made.folder)
    assert found.max_length == 24 and expected.max_length == 96
    before, after = (
        net.model.state_dict()["discriminator.layers.1.output.weight"] for net in (expected, found)
    )
    assert torch.equal(before, after)


@pytest.mark.parametrize("cased", [False, True])
def test_text_that_sentence_transformers_lower_cases_and_the_tokenizer_does_not_is_warned_of(
    make_bert, cased, caplog
):
    made = make_bert(cased=cased)
    of_sentence_transformers(made.folder)
    fairseq_electra.from_pretrained(made.folder)
    assert ("it keeps capitals, so ids differ: give text in lower case" in caplog.text) == cased


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ("{", "is no list of modules"),
        ('{"a": 1}', "is no list of modules"),
        ('[{"path": ""}]', "is no list of modules"),
        ("3", "is no list of modules"),
        ("[]", "lists nothing, where one Transformer is expected"),
        (
            '[{"type": "sentence_transformers.models.WordEmbeddings", "path": "0"}]',
            "lists WordEmbeddings, where one Transformer",
        ),
        ('[{"type": "sentence_transformers.models.Transformer", "path": "absent"}]', "has no config.json"),
    ],
)
def test_read_folder_refuses_a_damaged_list_of_modules(tmp_path, modules, sentence):
    (tmp_path / "modules.json").write_text(modules)
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@published
def test_a_published_encoder_has_transformers_ids_and_states():
    imported = read_folder(MINILM)
    net, order = ElectraHubInterface(imported.pretrained), imported.order
    lines = [line.split("\t") for line in STS.read_text(encoding="utf-8").splitlines()[1:201]]
    pairs = [(row[-3], row[-2]) for row in lines]
    tokenizer = transformers.AutoTokenizer.from_pretrained(MINILM)
    rows = [net.encode(*pair) for pair in pairs]
    assert [order[row].tolist() for row in rows] == tokenizer(*map(list, zip(*pairs, strict=True)))[
        "input_ids"
    ]
    batch = torch.nn.utils.rnn.pad_sequence(rows[:12], batch_first=True, padding_value=PAD)
    inputs, padding, _ = inputs_of(batch, order)
    theirs = transformers.AutoModel.from_pretrained(MINILM).double().eval()
    with torch.no_grad():
        expected = theirs(**inputs, output_hidden_states=True).hidden_states
    found = net.double().extract_features(batch, return_all_hiddens=True)
    assert len(found) == len(expected) == 7
    assert (
        max((ours - them)[~padding].abs().max() for ours, them in zip(found, expected, strict=True)) < 1e-11
    )


def pooled(rows, states):
    """The mean over each row's tokens of the states that a net gives, rows of like length together.

    Shape: (rows, C).
    """
    vectors: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), 64):
        chosen = by_length[start : start + 64]
        batch = torch.nn.utils.rnn.pad_sequence(
            [rows[i] for i in chosen], batch_first=True, padding_value=PAD
        )
        real = (batch != PAD).unsqueeze(-1)
        with torch.no_grad():
            means = (states(batch) * real).sum(1) / real.sum(1)
        for i, vector in zip(chosen, means, strict=True):
            vectors[i] = vector
    return torch.stack(vectors)


@pytest.mark.long
@published
def test_mean_pooled_cosines_of_a_published_encoder_on_sts_b_are_transformers():
    with STS.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    gold = [float(row["score"]) for row in table]
    imported = read_folder(MINILM)
    net, order = ElectraHubInterface(imported.pretrained), imported.order
    theirs = transformers.AutoModel.from_pretrained(MINILM).eval()

    def cosines(part):
        """Of every pair, by our net and by theirs, from the same rows. Shape: (2, pairs)."""
        sides = [[net.encode(row[name]) for row in part] for name in ("sentence1", "sentence2")]
        nets = (net.extract_features, lambda batch: theirs(**inputs_of(batch, order)[0]).last_hidden_state)
        return np.stack(
            [torch.cosine_similarity(*(pooled(rows, states) for rows in sides)).numpy() for states in nets]
        )

    ours, expected = cosines(table)
    scores = [float(spearmanr(each, gold).statistic) for each in (ours, expected)]
    print(
        f"{len(table)} cosines: largest difference {np.abs(ours - expected).max():.1e}; Spearman"
        f" {scores[0]:.6f} and {scores[1]:.6f}"
    )
    assert len(table) == 1500 and np.abs(ours - expected).max() < 1e-6
    assert round(scores[0], 4) == 0.8672 and abs(scores[0] - scores[1]) < 1e-6


@pytest.mark.long
@published
def test_a_published_encoder_is_imported_exported_fine_tuned_and_pre_trained_on(tmp_path, corpus_lines):
    checkpoint = tmp_path / "in" / "checkpoint.pt"
    lines = import_transformers(MINILM, checkpoint)
    assert "tokenizer: the same ids as transformers'" in "".join(lines) and "largest difference" in lines[-1]
    assert_exported_as_electra(checkpoint, tmp_path / "out", MINILM, read_folder(MINILM).order)
    assert_pre_training_goes_on(checkpoint, corpus_lines[:120], tmp_path)
    fine_tune(checkpoint, tmp_path)
