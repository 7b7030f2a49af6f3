"""Pairs about groups of people as they are read from both formats, and files that are refused."""

import csv
import gzip
import io
from collections import Counter

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.probes.bias_pairs import BiasPair, read_bias_pairs
from tests.helpers.paths import ROOT

CROWS_PAIRS = ROOT.parent / "shared" / "data" / "probes" / "crows_pairs.csv"
HEADER = "category\tsentence\tcounterpart\n"
CROWS_HEADER = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"
PAIRS = [
    BiasPair("age", "Old people forget names.", "Young people forget names."),
    BiasPair("place", "Villagers, all of them, are slow.", "Townsfolk, all of them, are slow."),
]


def as_table(pairs, delimiter="\t", names=("category", "sentence", "counterpart")) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([names, *(pair[: len(names)] for pair in pairs)])
    return stream.getvalue()


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.txt", "pairs.csv", "pairs.tsv.gz"])
def test_read_bias_pairs_reads_its_own_columns_in_any_order(tmp_path, name):
    delimiter = "," if ".csv" in name else "\t"
    text = as_table([*PAIRS, PAIRS[0]], delimiter).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_bias_pairs(tmp_path / name) == [*PAIRS, PAIRS[0]]
    turned = as_table([pair[::-1][1:] for pair in PAIRS], delimiter, ("counterpart", "sentence", "category"))
    (tmp_path / "turned.csv").write_text(f"\ufeff{turned}")
    assert read_bias_pairs(tmp_path / "turned.csv") == PAIRS


def test_read_bias_pairs_reads_the_form_of_crows_pairs(tmp_path):
    path = tmp_path / "crows.csv"
    path.write_text(
        f'{CROWS_HEADER}0,"Old, she ""forgets"" names.","Young, she forgets names.",stereo,age,"[[],[]]"\n'
        '1,"Boys win\nrarely.",Girls win rarely.,antistereo,gender,[]\n'
    )
    assert read_bias_pairs(path) == [
        BiasPair("age", 'Old, she "forgets" names.', "Young, she forgets names.", "stereo"),
        BiasPair("gender", "Boys win\nrarely.", "Girls win rarely.", "antistereo"),
    ]


def test_read_bias_pairs_reads_quoted_cells_of_a_tsv_where_told(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(f'{HEADER}age\t"Old ""ones"" sleep."\tYoung ones sleep.\n')
    assert read_bias_pairs(path, quoted=True)[0].sentence == 'Old "ones" sleep.'
    assert read_bias_pairs(path)[0].sentence == '"Old ""ones"" sleep."'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.tsv", "", "the first line names no columns; pairs need the columns category, sentence, counterp"),
        ("a.tsv", "category\tsentence\n", "the first line names 'category', 'sentence'; pairs need the col"),
        ("a.csv", "bias_type,sent_more,sent_less\n", "or CrowS-Pairs' bias_type, sent_more, sent_less, ste"),
        ("a.tsv", as_table(PAIRS, ","), "between tabs, or in a .csv file between commas"),
        ("a.tsv", HEADER, "has no pairs; give one pair per line below the names of the columns"),
        ("a.tsv", f"{HEADER}age\tOld.\tYoung.\nage\t \tYoung.\n", "line 3: the column 'sentence' is blank"),
        ("a.tsv", f"{HEADER}age\t\u200b\tYoung.\n", "line 2: the column 'sentence' is blank"),
        ("a.tsv", f"{HEADER}\tOld.\tYoung.\n", "line 2: the column 'category' is blank"),
        ("a.tsv", f"{HEADER}age\tOld.\n", "line 2: 2 columns, not 3; write all of them"),
        ("a.tsv", f"{HEADER}age\tOld.\tOld.\n", "line 2: both sentences are the same, 'Old.'; a pair must"),
        ("a.tsv", f"{HEADER}age\tOld.\tOld. \n", "line 2: both sentences are the same, 'Old.'; a pair must"),
        ("a.tsv", f"{HEADER}age\té\te\u0301\n", "line 2: both sentences are the same, 'é'; a pair must"),
        (
            "a.csv",
            f"{CROWS_HEADER}0,Old.,Young.,both,age,[]\n",
            "line 2: 'stereo_antistereo' is 'both'; ",
        ),
        ("a.csv", f'{CROWS_HEADER}0,"Old.,Young.,stereo,age,[]\n', "line 2: not a CSV with quotes"),
        ("a.csv", f'{CROWS_HEADER}0,"Old" men.,Young.,stereo,age,[]\n', "line 2: not a CSV with quotes"),
        ("a.csv", f"{CROWS_HEADER}0,Old, tired.,Young.,stereo,age,[]\n", "line 2: 7 columns, not 6; quote"),
        ("a.jsonl", "{}\n", "is not a table of pairs; give the file as TSV or CSV"),
    ],
)
def test_read_bias_pairs_says_what_it_refuses(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refused:
        read_bias_pairs(tmp_path / name)
    assert str(refused.value).startswith(str(tmp_path / name)) and said in str(refused.value)


def test_a_category_is_the_same_with_blanks_around_it(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"{HEADER}age\tOld.\tYoung.\nage \tOld men.\t Young men.\n")
    assert read_bias_pairs(path) == [
        BiasPair("age", "Old.", "Young."),
        BiasPair("age", "Old men.", "Young men."),
    ]


def test_read_bias_pairs_refuses_standard_input():
    with pytest.raises(InputError, match="standard input is not a table of pairs"):
        read_bias_pairs("-")


@pytest.mark.skipif(not CROWS_PAIRS.is_file(), reason=f"no {CROWS_PAIRS.name} in the shared data")
def test_read_bias_pairs_reads_crows_pairs_itself():
    pairs = read_bias_pairs(CROWS_PAIRS)
    assert len(pairs) == 1508 and len(set(pairs)) == 1507
    assert Counter(pair.direction for pair in pairs) == {"stereo": 1290, "antistereo": 218}
    assert Counter(pair.category for pair in pairs).most_common(2) == [("race-color", 516), ("gender", 262)]
