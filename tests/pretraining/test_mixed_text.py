"""One vocabulary for several languages: how much of each it is learned from, and what it keeps."""

from collections import Counter

import pytest

from fairseq_electra.cli import main
from fairseq_electra.pretraining.mixed_text import ACCENTS_ARE_KEPT, sample_languages
from fairseq_electra.pretraining.prepare import RunningText
from fairseq_electra.pretraining.wordpiece import load_wordpiece

LINES = {"en": 8000, "ko": 700, "vi": 20}
WORDS = {"en": "apple tree", "ko": "한국어 책은", "vi": "tiếng việt"}  # of one length


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each language, whose lines have 10 characters, but 9 in Korean's."""
    folder = tmp_path_factory.mktemp("text")
    for name, number in LINES.items():
        (folder / f"{name}.txt").write_text(f"{WORDS[name]}\n" * number)
    return {name: str(folder / f"{name}.txt") for name in LINES}


def drawn(files, alpha, millions=0.0, seed=1):
    texts = {name: RunningText([path]) for name, path in files.items()}
    counts = Counter(sample_languages(texts, alpha, millions, seed))
    return {name: counts[words] * len(words) for name, words in WORDS.items()}


@pytest.mark.parametrize("millions", [0, 0.02, 10])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_sample_languages_gives_each_language_its_smoothed_share_of_characters(files, alpha, millions):
    sizes = {name: LINES[name] * len(words) for name, words in WORDS.items()}
    whole = min(sum(sizes.values()), millions * 1e6 or sum(sizes.values()))
    powers = {name: (size / sum(sizes.values())) ** alpha for name, size in sizes.items()}
    counts = drawn(files, alpha, millions)
    for name, power in powers.items():
        expected = whole * power / sum(powers.values())
        # lines are drawn at random: four standard deviations
        assert abs(counts[name] - expected) <= 4 * (expected * 10) ** 0.5 + 10


def test_sample_languages_gives_all_text_once_where_nothing_is_smoothed(files):
    assert drawn(files, 1) == {name: LINES[name] * len(words) for name, words in WORDS.items()}
    one = {"ko": files["ko"]}
    assert drawn(one, 0.3)["ko"] == LINES["ko"] * len(WORDS["ko"])
    plain = RunningText([files["en"]]).sample(0.01, 5)
    mixed = sample_languages({"en": RunningText([files["en"]])}, 0.3, 0.01, 5)
    assert list(mixed) == list(plain)


def vocab(tmp_path, *arguments):
    return main(["vocab", "--size", "300", "--output", str(tmp_path / "vocab"), *map(str, arguments)])


def test_vocab_of_several_languages_knows_each_and_keeps_its_marks(tmp_path, files, capsys):
    given = [word for name, path in files.items() for word in ("--language", name, path)]
    vocab(tmp_path, *given, "--sampling-alpha", "0.5")
    assert ACCENTS_ARE_KEPT in capsys.readouterr().out
    tokenizer = load_wordpiece(tmp_path / "vocab")
    for words in WORDS.values():
        tokens = tokenizer.encode(words.upper(), add_special_tokens=False).tokens
        assert " ".join(tokens) == words


def test_no_character_of_a_script_without_blanks_is_outside_a_token(tmp_path, files):
    lines = ["中国的首都是北京，人口约2154万。", "《红楼梦》是曹雪芹的小说；共120回！", "㐀𠀀是少见的字ABC。"]
    (tmp_path / "zh.txt").write_text("\n".join(lines) * 30)
    vocab(tmp_path, "--language", "en", files["en"], "--language", "zh", tmp_path / "zh.txt")
    tokenizer = load_wordpiece(tmp_path / "vocab")
    for line in [*lines, "鑫从没见过"]:  # the last has characters that the vocabulary lacks
        ends = [0, *(end for _, end in tokenizer.encode(line, add_special_tokens=False).offsets)]
        starts = [start for start, _ in tokenizer.encode(line, add_special_tokens=False).offsets]
        assert ends == [*starts, len(line)]  # each token begins where the one before it ends


def test_vocab_of_one_language_is_that_of_its_files(tmp_path, files):
    vocab(tmp_path / "one", "--language", "vi", files["vi"])
    vocab(tmp_path / "two", files["vi"])
    for name in ("tokenizer.json", "dict.txt"):
        one, two = ((tmp_path / folder / "vocab" / name).read_bytes() for folder in ("one", "two"))
        assert one == two


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--language", "en"], "--language en: no file is given"),
        (["--language", "e/n", "EN"], "'e/n' cannot name a language"),
        (["--language", "e,n", "EN"], "'e,n' cannot name a language"),
        (["--language", "en", "EN", "--language", "en", "EN"], "--language en stands there twice"),
        (["EN", "--language", "en", "EN"], "is of no language; give it behind --language NAME"),
        (["EN", "--sampling-alpha", "0.5"], "--sampling-alpha needs --language"),
        (["--language", "en", "EN", "--sampling-alpha", "-1"], "must lie between 0 and 1, got -1"),
        (["--language", "en", "EN", "--sample", "-1"], "--sample must be 0 or more"),
        (["--language", "en", "EN", "--language", "ko", "EMPTY"], "--language ko: its files hold no text"),
        (["--language", "en", "EN", "--language", "ko", "-"], "but - is no file; give one"),
        (["--language", "en", "EN", "--moses"], "--moses is for text in one language"),
    ],
)
def test_vocab_refuses_languages_that_it_cannot_mix(tmp_path, files, capsys, arguments, sentence):
    (tmp_path / "empty.txt").write_text("\n\n")
    paths = {"EN": files["en"], "EMPTY": tmp_path / "empty.txt"}
    assert vocab(tmp_path, *(paths.get(word, word) for word in arguments)) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "vocab").exists()
