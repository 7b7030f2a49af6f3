"""The hub interface against plain forward passes, one row at a time."""

import dataclasses
import sys

import numpy as np
import pytest
import torch

import fairseq_electra
from fairseq_electra.electra.masking import Masking
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments, segments_of
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, UNK_ID
from tests.helpers.commands import run
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here
from tests.helpers.transformers_models import in_their_order, save_theirs

TEXTS = [
    "The name of a class is looked up in the namespace.",
    ("A pair of sentences,", "the second of which is longer than the first one by far."),
    "Short.",
    "Don't mix café & 中文 with <s> or [MASK]!",
    "",
]


@pytest.fixture
def hub(pretrained):
    """In float64, where batches of another shape change no digit that the tests look at."""
    return ElectraHubInterface(pretrained(positions="learned"), max_tokens=24).double()


def plain(model, row):
    """Hidden states and p(replaced) of one row without padding."""
    segments = segments_of(row[None], 2)
    hidden = model.discriminator(model.embeddings(row[None], segments), None)
    return hidden[0], torch.sigmoid(model.discriminator_head(hidden))[0]


def test_encode_and_decode_are_inverse_and_special_symbols_stay_text(hub):
    row = hub.encode("The name", "of a class")
    assert row.dtype == torch.int64 and row.dim() == 1
    assert row[0] == 0 and row[-1] == 2 and (row == 2).sum() == 2
    assert hub.decode(row) == ["the name", "of a class"]
    assert hub.decode(hub.encode("the name")) == "the name"
    assert not torch.isin(hub.encode("a <s> </s> <mask> b")[1:-1], torch.tensor([0, 1, 2, hub.mask])).any()


def test_hub_gives_for_lists_the_results_of_single_rows(hub):
    rows = [hub.encode(*([text] if isinstance(text, str) else text)) for text in TEXTS]
    for given in (TEXTS, rows):
        features, replaced, layers = (
            hub.extract_features(given),
            hub.detect_replaced(given),
            hub.extract_features(given, True),
        )
        for i, row in enumerate(rows):
            expected, p = plain(hub.model, row)
            assert features[i].shape == expected.shape and replaced[i].shape == row.shape
            assert (features[i] - expected).abs().max() < 1e-12 and (replaced[i] - p).abs().max() < 1e-12
            assert len(layers[i]) == 3 and torch.equal(layers[i][-1], features[i])


def test_hub_gives_tensors_for_padded_tensors_as_robertas_interface(hub):
    rows = [hub.encode("The name of a class"), hub.encode("a b")]
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1)
    features = hub.extract_features(batch)
    assert features.shape == (*batch.shape, 32)
    assert hub.extract_features(rows[0]).shape == (1, len(rows[0]), 32)
    assert len(hub.extract_features(batch, return_all_hiddens=True)) == 3
    assert (features[1, : len(rows[1])] - plain(hub.model, rows[1])[0]).abs().max() < 1e-12


def test_fill_mask_gives_the_generators_likeliest_pieces(hub):
    row = torch.tensor([0, *hub.encode("the name of a")[1:-1], hub.mask, *hub.encode("is short")[1:-1], 2])
    at = int((row == hub.mask).nonzero())
    logits = hub.model.generate(row[None], torch.zeros_like(row[None]), None, torch.tensor([[at]]))[0, 0]
    values, ids = logits.softmax(-1).topk(3)
    found = hub.fill_mask("the name of a <mask> is short", topk=3)
    symbols = [hub.symbols[i] for i in ids]
    assert [value for _, value, _ in found] == pytest.approx(values.tolist(), rel=1e-9)
    assert [token.removeprefix("##") for _, _, token in found] == [
        symbol.removeprefix("##") for symbol in symbols
    ]
    for (sentence, _, _), symbol in zip(found, symbols, strict=True):
        expected = (
            f"the name of a{symbol[2:]} is short"
            if symbol.startswith("##")
            else f"the name of a {symbol} is short"
        )
        assert sentence == expected
    several = hub.fill_mask(
        ["the name of a <mask> is short", "<mask> is a name that is a bit longer than that"], topk=3
    )
    assert [token for _, _, token in several[0]] == [token for _, _, token in found] and len(several) == 2


@pytest.mark.parametrize("text", ["no mask", "<mask> and <mask>"])
def test_fill_mask_needs_one_mask(hub, text):
    with pytest.raises(InputError, match="needs one <mask>"):
        hub.fill_mask(text)


def test_sampled_corruption_replaces_masked_places_only_and_repeats(hub):
    texts = [TEXTS[0], TEXTS[1]]
    found, again, other = (
        hub.sample_corruption(texts),
        hub.sample_corruption(texts),
        hub.sample_corruption(texts, seed=2),
    )
    assert torch.equal(found.corrupted_tokens, again.corrupted_tokens)
    assert not torch.equal(found.corrupted_tokens, other.corrupted_tokens)
    assert torch.equal(found.is_replaced, found.tokens != found.corrupted_tokens)
    tokens = found.tokens.numpy()
    lengths = (tokens != 1).sum(1)
    masking = Masking(0.15, 0.0, 0.0, mask_index=hub.mask, pad_index=1, first_piece=4, seed=1)
    at_mask = torch.from_numpy(masking(tokens, lengths, 1, np.arange(2)).src_tokens == hub.mask)
    assert at_mask.sum() == sum(round(0.15 * int(n)) for n in lengths)
    assert not (found.is_replaced & ~at_mask).any() and found.is_replaced.any()
    with pytest.raises(InputError, match="mask_prob must lie"):
        hub.sample_corruption(texts, mask_prob=1.5)


def test_features_of_words_are_means_over_their_pieces(hub):
    sentence = "Unbelievable classnames,  don't (they)?"
    found = hub.extract_features_aligned_to_words(sentence)
    assert found.words == sentence.split() and [sentence[a:b] for a, b in found.offsets] == found.words
    pieces = [hub.tokenizer.encode(word, add_special_tokens=False).ids for word in found.words]
    hidden, _ = plain(hub.model, torch.tensor([0, *(i for word in pieces for i in word), 2]))
    at = 1
    for vector, word in zip(found.features, pieces, strict=True):
        assert (vector - hidden[at : at + len(word)].mean(0)).abs().max() < 1e-12
        at += len(word)
    words = ["New York", "is", "\u200b", "big"]
    given = hub.extract_features_aligned_to_words(words)
    assert (
        given.words == words
        and len(given.features) == 4
        and not given.features[2].any()
        and given.features[3].any()
    )
    assert hub.extract_features_aligned_to_words("").features.shape == (0, 32)


def test_hub_refuses_long_rows_and_wrong_uses_in_one_sentence(hub):
    with pytest.raises(InputError, match="longer than the position table"):
        hub.extract_features(["word " * 600])
    with pytest.raises(InputError, match="has no head 'mnli', it has none"):
        hub.predict("mnli", "text")
    with pytest.raises(InputError, match="no such folder or checkpoint"):
        fairseq_electra.from_pretrained("absent")


@pytest.mark.long
def test_from_pretrained_of_a_checkpoint_and_its_export_agree(tmp_path, data_bin, vocabulary):
    train_here(
        data_bin,
        tmp_path / "save",
        *TINY_NET,
        *["--positions", "learned", "--max-update", "2", "--disable-validation"],
    )
    hub = fairseq_electra.from_pretrained(tmp_path / "save")  # the vocabulary is found beside the data
    with pytest.raises(InputError, match=r"holds no config.json"):
        fairseq_electra.from_pretrained(data_bin)
    from fairseq_electra.hub.load import load_checkpoint

    export_transformers(
        load_checkpoint(tmp_path / "save" / "checkpoint_last.pt", vocabulary), tmp_path / "out"
    )
    other = fairseq_electra.from_pretrained(tmp_path / "out")
    texts = [text for text in TEXTS if isinstance(text, str)]
    expected = hub.detect_replaced(texts)
    for a, b in zip(expected, other.detect_replaced(texts), strict=True):
        assert torch.equal(a, b)
    code = """
import sys
sys.modules["fairseq"] = sys.modules["fairseq_electra"] = None
import torch
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer
folder, texts = sys.argv[1], sys.argv[2:]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForPreTraining.from_pretrained(folder)
AutoModelForMaskedLM.from_pretrained(folder + "/generator")
with torch.no_grad():
    for text in texts:
        print(*model(**tokenizer(text, return_tensors="pt")).logits.sigmoid()[0].tolist())
"""
    done = run(
        [sys.executable, "-c", code, tmp_path / "out", *texts],
        env={"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
    )
    for line, p in zip(done.stdout.strip().splitlines(), expected, strict=True):
        assert [float(value) for value in line.split()] == pytest.approx(p.tolist(), abs=1e-5)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_predict_is_the_head_on_each_row(pretrained, positions):
    from omegaconf import OmegaConf

    from tests.helpers.small_model import NET, randomize_parameters

    start = pretrained()
    cfg = OmegaConf.create({**NET, "model_size": "tiny", "positions": positions, "autocast": "none"})
    model = EncoderWithHeads(**encoder_arguments(cfg, len(start.symbols))).eval()
    model.register_head("mnli", SentenceHead(model.sizes.hidden_size, 3, 0.1))
    randomize_parameters(model, std=0.2)
    hub = ElectraHubInterface(
        dataclasses.replace(start, model=model.eval(), labels={"mnli": ["a", "b", "c"]}), max_tokens=24
    ).double()
    scores = hub.predict("mnli", TEXTS)
    for text, found in zip(TEXTS, scores, strict=True):
        row = hub.encode(*([text] if isinstance(text, str) else text))[None]
        if text == "":  # as fine-tuning reads it
            row = torch.tensor([[BOS_ID, UNK_ID, EOS_ID]])
        expected, _ = model(row, classification_head_name="mnli")
        assert (found - expected[0].log_softmax(-1)).abs().max() < 1e-12
    assert hub.predict("mnli", TEXTS[0], return_logits=True).shape == (1, 3)
    assert torch.equal(hub.predict("mnli", f"  {TEXTS[2]}\n"), hub.predict("mnli", TEXTS[2]))
    with pytest.raises(InputError, match="needs a pre-training checkpoint"):
        hub.detect_replaced("text")
    model.register_head("similarity", SentenceHead(model.sizes.hidden_size, 1, 0.1))
    score = hub.double().eval().predict("similarity", TEXTS[0])
    assert (
        score.shape == (1, 1)
        and score != 0
        and torch.equal(score, hub.predict("similarity", TEXTS[0], return_logits=True))
    )


def test_more_answers_than_the_vocabulary_has_are_refused(pretrained):
    hub = ElectraHubInterface(pretrained())
    entries = len(hub.symbols)
    assert len(hub.fill_mask("a <mask>", topk=entries)) == entries
    for topk in (0, entries + 1):
        with pytest.raises(InputError, match=f"between 1 and the {entries:,} entries .*, got {topk}"):
            hub.fill_mask("a <mask>", topk=topk)


def test_hub_refuses_parts_that_the_folder_does_not_hold(tmp_path, pretrained, vocabulary):
    theirs = save_theirs(tmp_path / "theirs", in_their_order(vocabulary), generator=None)
    export_transformers(pretrained(positions="rotary"), tmp_path / "out")
    rotary = fairseq_electra.from_pretrained(tmp_path / "out")
    assert len(rotary.fill_mask("a <mask>")) == 5
    with pytest.raises(
        InputError, match="needs the discriminator head, which the folder of transformers does not hold"
    ):
        rotary.detect_replaced("text")
    alone = fairseq_electra.from_pretrained(theirs.folder)
    assert alone.detect_replaced("text").shape[0] == 1
    with pytest.raises(InputError, match="fill_mask needs the generator"):
        alone.fill_mask("a <mask>")
