"""Files of words in other forms: named columns, comments, CoNLL-U, and every scheme, on real words."""

from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.files.faults import Faults
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.kinds import evaluation_of
from fairseq_electra.finetuning.words.columns import WordColumns
from fairseq_electra.finetuning.words.folder import TagFolder, with_known_types
from fairseq_electra.finetuning.words.read import has_tags, read_conll, read_words
from fairseq_electra.finetuning.words.tags import (
    BILOU,
    BIO,
    BIOES,
    BMES,
    IOB1,
    NONE,
    PLAIN_TAG_METRICS,
    Entity,
)
from tests.helpers.commands import electra_here, with_options

REAL = Path(__file__).parents[4] / "shared" / "data" / "ner" / "wnut17" / "dev.conll"
GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]
1\tAufgrund\tO\tO
2\tseiner\tO\tO
3\tTroia\tB-LOC\tB-ORGpart
4\t#\tO\tO

# n-tv.de vom 26.02.2005
1\tFC\tB-ORG\tO
2\tBasel\tI-ORG\tB-LOC
"""
CONLLU = """# sent_id = 1
# text = Zum Haus.
1-2\tZum\t_\t_\t_\t_\t_\t_\t_\t_
1\tzu\tzu\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\tNN\t_\t0\troot\t_\t_
3.1\tist\tsein\tAUX\t_\t_\t_\t_\t0:root\t_
# in the middle
4\t.\t.\tPUNCT\t$.\t_\t3\tpunct\t_\t_

# text = #
1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def read(path, *given, **named):
    return [(each.words, each.entities) for each in read_conll(path, *given, **named)]


@pytest.mark.parametrize(
    ("tag", "second"), [(3, [Entity("ORG", 0, 2)]), (4, [Entity("LOC", 1, 2)]), (0, [Entity("LOC", 1, 2)])]
)
def test_outer_and_inner_entities_of_germeval_are_in_columns_of_their_own(tmp_path, tag, second):
    path = write(tmp_path / "a.tsv", GERMEVAL)
    found = read(path, BIO, columns=WordColumns(2, tag))
    assert [words for words, _ in found] == [["Aufgrund", "seiner", "Troia", "#"], ["FC", "Basel"]]
    assert found[0][1] == [Entity("LOC" if tag == 3 else "ORGpart", 2, 3)] and found[1][1] == second


@pytest.mark.parametrize(
    ("tag", "expected"), [(4, ["ADP", "DET", "NOUN", "PUNCT"]), (5, ["APPR", "ART", "NN", "$."])]
)
def test_conllu_gives_its_words_and_either_column_of_tags(tmp_path, tag, expected):
    found = read(write(tmp_path / "a.conllu", CONLLU), NONE, columns=WordColumns(2, tag))
    assert found[0] == (
        ["zu", "dem", "Haus", "."],
        [Entity(kind, i, i + 1) for i, kind in enumerate(expected)],
    )
    assert found[1][0] == ["#"]


def test_lines_that_are_no_words_stay_where_they_are_and_do_not_end_a_sentence(tmp_path):
    for text, word_lists in (
        (CONLLU, [["zu", "dem", "Haus", "."], ["#"]]),
        (GERMEVAL, [["Aufgrund", "seiner", "Troia", "#"], ["FC", "Basel"]]),
    ):
        sentences = list(read_words(write(tmp_path / "a", text), NONE, WordColumns(2, 4)))
        assert "".join(f"{line}\n" for sentence in sentences for line, _ in sentence) == text
        assert [[word for _, word in sentence if word is not None] for sentence in sentences] == word_lists


@pytest.mark.parametrize("column", [2, 3])
def test_blank_separated_columns_are_counted_whatever_number_of_blanks_is_between(tmp_path, column):
    path = write(tmp_path / "a", "EU   NNP B-NP  B-ORG\nrejects VBZ   B-VP O\n")
    tags = {2: ["NNP", "VBZ"], 3: ["B-NP", "B-VP"]}[column]
    assert read(path, NONE, columns=WordColumns(1, column)) == [
        (["EU", "rejects"], [Entity(tag, i, i + 1) for i, tag in enumerate(tags)])
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# id = 5\na\tO\n\n# a b c\nb\tO\n", [["a"], ["b"]]),
        ("# id = 5\na O\n# O\n", [["a", "#"]]),
        ("# O\na O\n", [["#", "a"]]),
        ("#\tO\na\tO\n", [["#", "a"]]),
        ("#tag\tO\na\tO\n", [["#tag", "a"]]),
        ("#tag O\na O\n", [["#tag", "a"]]),
        ("# B-ORG\n", [["#"]]),
    ],
    ids=[
        *["comments", "a word in the sentence", "a word that begins it", "a tab", "a hashtag"],
        *["a hashtag and a blank", "a tag of an entity"],
    ],
)
def test_word_lines_tells_a_number_sign_from_a_comment(tmp_path, text, words):
    path = write(tmp_path / "a", text)
    assert [found for found, _ in read(path, BIO)] == words
    assert [[word for _, word in sentence if word] for sentence in read_words(path)] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#MeToo\tmetoo\tO\na\tb\tO\n", [["metoo", "b"]]),
        ("a\tb\tO\n#MeToo\tmetoo\tO\n#\t#\tO\n", [["b", "metoo", "#"]]),
        ("a b O\n#MeToo metoo O\n", [["b", "metoo"]]),
        ("3.5\t3.5\tO\n1990-91\t1990-91\tO\n", [["3.5", "1990-91"]]),
        ("1-1\t0-2\tO\n1-2\t3-5\tO\n", [["0-2", "3-5"]]),
        (
            "#FORMAT=WebAnno\n# two words\n#\thttp\n1\tb\tO\n# c\n2\tc\tO\n\n# d\te\n1\td\tO\n",
            [["b", "c"], ["d"]],
        ),
        ("#begin document\n# of it O\na b c O\n", [["b"]]),
    ],
    ids=["the first word", "two words", "blanks", "numbers", "webanno", "comments", "comments and blanks"],
)
def test_read_conll_reads_words_of_another_column(tmp_path, text, words):
    path, columns = write(tmp_path / "a", text), WordColumns(2)
    assert [found for found, _ in read(path, BIO, columns=columns)] == words
    assert [[word for _, word in sentence if word] for sentence in read_words(path, BIO, columns)] == words


def test_a_hashtag_without_its_tag_is_refused_where_words_have_tabs(tmp_path):
    with pytest.raises(InputError, match=r"line 2: '#MeToo\\tmetoo' is not a word and a tag"):
        read_conll(write(tmp_path / "a", "a\tb\tO\n#MeToo\tmetoo\n"), BIO, columns=WordColumns(2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# sent_id = 3\n# text = a b\na\tX\n# in the middle\n#\tY\n", [["a", "#"]]),
        ("# sent_id = 3\na X\n\n# more of it\n# Y\n", [["a"], ["#"]]),
        ("# sent_id = 3\na\n", [["a"]]),
    ],
    ids=["tabs", "blanks", "words alone"],
)
def test_word_lines_takes_comments_for_no_words_where_any_text_is_a_tag(tmp_path, text, words):
    path = write(tmp_path / "a", text)
    assert [found for found, _ in read(path, NONE, has_tags(path, NONE))] == words
    assert [[word for _, word in sentence if word] for sentence in read_words(path, NONE)] == words


def test_has_tags_ignores_a_comment_before_words_without_tags(tmp_path):
    path = write(tmp_path / "a", "# of the paper\nEU\n#\n\n# more\nrejects\n")
    assert not has_tags(path) and read(path, BIO, False) == [(["EU", "#"], []), (["rejects"], [])]
    assert read(write(tmp_path / "b", "# # O\n# B-NP X\n"), NONE) == [
        (["#", "#"], [Entity("O", 0, 1), Entity("X", 1, 2)])
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "1\ta\tO\n2\tb\n",
            WordColumns(2, 3),
            r"line 2: '2\\tb' is not a word and a tag with a tab or a blank between in columns 2 and 3",
        ),
        (
            "1\ta\tO\n2\n",
            WordColumns(2),
            r"line 2: '2' is not a word and a tag with a tab or a blank between in columns 2 and the last",
        ),
        ("1\ta\tO\n2\t\tO\n", WordColumns(2, 3), r"line 2: '2\\t\\tO' is not a word"),
        ("# c\nb\tO\n# d\n", WordColumns(), "line 3: '# d' is not a word and a tag|line 3: unknown tag 'd'"),
    ],
)
def test_read_conll_refuses_a_line_without_its_columns(tmp_path, text, columns, message):
    with pytest.raises(InputError, match=message):
        read_conll(write(tmp_path / "a", text), BIO, columns=columns)


def test_sentences_with_a_tag_that_cannot_stand_there_are_gathered_and_counted_by_kind(tmp_path):
    path, faults = (
        write(tmp_path / "a", "a O\nb I-PER\n\nc B-PER\nd I-PER\n\ne I-LOC\n\n# a comment of it\nf NOUN\n"),
        Faults(),
    )
    assert read(path, BIO, faults=faults) == [(["c", "d"], [Entity("PER", 0, 2)])]
    summary, *lines = faults.listing().split("\n  ")
    assert summary == "2 with a stray tag, 1 with an unknown tag"
    assert [line.partition(f"{path}, ")[2].partition(";")[0] for line in lines] == [
        "line 2: a stray 'I-PER': no entity of type 'PER' is open, the tag before it is 'O'",
        "line 7: a stray 'I-LOC': no entity of type 'LOC' is open, it is the first of its sentence",
        "line 10: unknown tag 'NOUN'",
    ]
    faults = Faults()
    assert read(write(tmp_path / "b", "a B-PER\n\nb S-PER\n"), BIOES, faults=faults) == [
        (["b"], [Entity("PER", 0, 1)])
    ]
    assert faults.listing().startswith("1 with an entity that has no end\n")


def test_read_conll_gathers_sentences_that_lack_a_column(tmp_path):
    columns, faults = WordColumns(2, 3), Faults()
    text = "# c\n1\ta\tX\n2\tb\n3\tc\tX\n\n# du\n1\td\tX\n\n1\te\tY\n"
    found = read_conll(write(tmp_path / "a", text), NONE, columns=columns, faults=faults)
    assert [sentence.words for sentence in found] == [["d"], ["e"]] and str(faults.errors[0]).startswith(
        f"{tmp_path / 'a'}, line 3: "
    )
    known = with_known_types({"train": found[:1], "valid": found}, faults, NONE)
    assert [sentence.words for sentence in known["valid"]] == [["d"]]
    assert faults.listing().startswith(
        "1 with a line that is not a word and a tag, 1 with a tag that train has not\n"
    )
    faults = Faults()
    assert [
        words for words, _ in read(write(tmp_path / "b", "1\ta\n2\n\n1\tb\n"), NONE, False, columns, faults)
    ] == [["b"]]
    assert "line 2: '2' has no word in column 2" in faults.listing()


def test_prepare_lists_sentences_that_cannot_be_used_and_leaves_them_out(tmp_path, vocabulary):
    train = write(tmp_path / "train", "1\ta\tB-X\n2\tb\tI-X\n\n1\tc\tI-X\n\n1\td\n\n# e\n1\tf\tU-X\n")
    valid = write(tmp_path / "valid", "1\tg\tB-X\n\n1\th\tB-Y\n\n1\ti\tO\n2\tj\tI-X\n")
    given = [
        *["prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", "--conll", "--word-column", "2"],
        *["--tag-column", "3"],
    ]
    files = ["--train", train, "--valid", valid]
    kinds = "2 with a stray tag, 1 with a line that is not a word and a tag, 1 with an unknown tag, "
    kinds += "1 with an entity of a type that train has not"
    status, _, said = electra_here(*given, *files)
    assert status == 1 and not (tmp_path / "bin").exists()
    assert f": 5 examples cannot be used; correct them, or leave them out with --skip-bad: {kinds}\n" in said
    assert said.count("\n") == 6
    status, output, said = electra_here(*given, *files, "--skip-bad")
    assert (
        status == 0
        and "train 1, valid 1; 3 tags" in output
        and said.startswith(f"left out: 5 examples: {kinds}\n")
    ), said


def in_scheme(tags, scheme):
    """Spell BIO's tags in another scheme: a word is the last of its entity if no I follows it."""
    if scheme == BIO:
        return tags
    letters = {BIOES: "BIES", BILOU: "BILU", BMES: "BMES"}.get(scheme)
    found = []
    for i, tag in enumerate(tags):
        before, after = tags[i - 1] if i else "O", tags[i + 1] if i + 1 < len(tags) else "O"
        if tag == "O":
            found.append(tag)
        elif scheme == IOB1:
            found.append(("B" if tag[0] == "B" and before[2:] == tag[2:] else "I") + tag[1:])
        else:
            inside, last = tag[0] == "I", not after.startswith("I")
            found.append(letters[{(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}[inside, last]] + tag[1:])
    return found


@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there")
@pytest.mark.parametrize("scheme", [IOB1, BIOES, BILOU, BMES])
def test_a_real_file_has_the_same_entities_in_every_scheme_and_in_columns_as_germevals(tmp_path, scheme):
    expected = read(REAL, BIO)
    lines = []
    for block in REAL.read_text().replace("\n\t\n", "\n\n").strip("\n").split("\n\n"):
        pairs = [line.split("\t") for line in block.split("\n") if line.strip()]
        tags = in_scheme([tag for _, tag in pairs], scheme)
        lines += [
            "#\tof a tweet",
            *(
                f"{i}\t{word}\t{tag}\tO"
                for i, ((word, _), tag) in enumerate(zip(pairs, tags, strict=True), 1)
            ),
            "",
        ]
    found = read(write(tmp_path / "a.tsv", "\n".join(lines)), scheme, columns=WordColumns(2, 3))
    assert found == expected and sum(len(entities) for _, entities in found) == 836


def test_parts_of_speech_are_prepared_and_scored_by_accuracy_and_macro_f1(tmp_path, vocabulary):
    path, bare = write(tmp_path / "a.conllu", CONLLU), write(tmp_path / "b.conllu", "1\ta\n2\tb\n\n1\tc\n")
    given = [
        *["--conll", "--scheme", "none", "--word-column", "2", "--tag-column", "4", "--train", path],
        *["--valid", path, "--test", bare],
    ]
    status, output, said = electra_here(
        "prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", *given
    )
    assert status == 0 and "train 2, valid 2, test 2; 5 tags; test has no tags" in output, said
    info = read_task_info(tmp_path / "bin")
    assert info.labels == ("ADP", "DET", "NOUN", "PUNCT", "SYM") and info.metrics == PLAIN_TAG_METRICS
    assert (info.scheme, info.word_column, info.tag_column) == (NONE, 2, 4)
    target, sentence = TagFolder(tmp_path / "bin", "valid", 1000, 5).targets
    assert target.tolist() == [0, 1, 2, 3, 4] and sentence.tolist() == [0, 0, 0, 0, 1]
    scores = np.log(np.eye(5, dtype=np.float32)[[0, 1, 2, 2, 4]] + 0.01)
    evaluation = evaluation_of(tmp_path / "bin")
    f1 = [1, 1, 2 / 3, 0, 1]  # NOUN once right and once too often, PUNCT never
    assert evaluation.metrics("valid", scores) == pytest.approx(
        {"accuracy": 80, "macro_f1": 100 * sum(f1) / 5}
    )
    assert evaluation.metrics("test", scores[:3]) is None


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--word-column", "0"], "--word-column 0 and --tag-column None: name two columns, counted from 1"),
        (
            ["--word-column", "2", "--tag-column", "2"],
            "--word-column 2 and --tag-column 2: name two columns, counted from 1",
        ),
        (["--tag-column", "-1"], "--word-column 1 and --tag-column -1: name two columns"),
        (
            ["--bioes", "--scheme", "none"],
            "--bioes converts tags of entities, and with --scheme none they are kept as they are",
        ),
        (
            ["--scheme", "none", "--valid"],
            "valid.conll, line 1: a tag 'VERB' in this sentence; train has NOUN",
        ),
        (["--scheme", "none", "--train"], "train has the tag '<s>', which is a symbol of fairseq's"),
        (
            ["--scheme", "none"],
            (
                "train.conll: every tag is 'NOUN' in the last column, where two or more are needed; name the"
                " column"
            ),
        ),
        (
            ["--tag-column", "2"],
            "train.conll: every tag is 'O' in column 2, where two or more are needed; name the column",
        ),
    ],
)
def test_options_and_tags_that_cannot_be_are_refused(tmp_path, vocabulary, more, sentence):
    files = {"--valid": "a\tVERB\n", "--train": "a\t<s>\nb\tX\n"}
    train = write(tmp_path / "train.conll", "a\tNOUN\n" if "none" in more else "a\tO\n")
    given = ["--vocab", vocabulary, "--destdir", tmp_path / "bin", "--conll", "--train", train]
    if more[-1] in files:
        more = [*more, write(tmp_path / f"{more[-1][2:]}.conll", files[more[-1]])]
    status, _, said = electra_here("prepare", *with_options(given, more))
    assert (
        status == 1 and len(said.splitlines()) == 1 and sentence in said and not (tmp_path / "bin").exists()
    ), said


def test_sentences_with_a_word_that_was_cut_are_counted(tmp_path, vocabulary):
    path = write(tmp_path / "a", f"a\tO\n{'xq' * 40}\tO\n{'zj' * 40}\tO\n\nb\tB-X\n")
    given = ["--conll", "--max-positions", "16", "--train", path]
    status, output, said = electra_here(
        "prepare", "--vocab", vocabulary, "--destdir", tmp_path / "bin", *given
    )
    assert status == 0 and "; 1 have a word that was cut to 14 pieces" in output, output + said
    assert read_task_info(tmp_path / "bin").cut == {"train": 1}


def test_a_line_without_its_last_column_is_refused_where_the_last_is_the_tag(tmp_path):
    path = write(tmp_path / "a.conll", "John NNP B-NP B-PER\nran VBD B-VP O\n\nParis NNP B-NP\n")
    with pytest.raises(
        InputError, match=r"line 4: 'Paris NNP B-NP' has 3 columns, where the first word has 4"
    ):
        read_conll(path, "BIO")
    short = WordColumns(word=1, tag=3)
    assert [len(each.words) for each in read_conll(path, "BIO", columns=short)] == [2, 1]
