import csv
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences.glue import ENTAILMENT, GLUE, NLI, read_glue
from fairseq_electra.finetuning.sentences.prepare import held_out
from fairseq_electra.finetuning.sentences.read import Example

REAL = Path(__file__).parents[4] / "shared" / "data" / "glue"
QQP_HEADER = "id qid1 qid2 question1 question2 is_duplicate"
MNLI_HEADER = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse"
    " sentence2_parse sentence1 sentence2"
)
MNLI_DEV_HEADER = f"{MNLI_HEADER} label1 label2 label3 label4 label5 gold_label"
STSB_HEADER = "index genre filename year old_index source1 source2 sentence1 sentence2"
MNLI_PARSES = "31193\t31193n\tgovernment\t( A ( b . ) )\t( C ( d . ) )\t(ROOT (S A b))\t(ROOT (S C d))"
STSB_ORIGIN = "main-captions\tMSRvid\t2012test\t0001\tnone\tnone"


def table(header, *rows):
    return "".join(line + "\n" for line in (header.replace(" ", "\t"), *rows))


# by task: the files of its folder, and for each split what stands in it as (texts..., label)
LAYOUTS = {
    "CoLA": (
        {
            "train.tsv": 'gj04\t1\t\tOur "friends" won\'t buy this.\nks08\t0\t*\tThe more we study verbs.\n',
            "dev.tsv": "ad03\t0\t?*\tHim photo.\n",
            "test.tsv": table("index sentence", "0\tBill whistled past the house.", "1\tThe car honked."),
        },
        {
            "train": [('Our "friends" won\'t buy this.', "1"), ("The more we study verbs.", "0")],
            "valid": [("Him photo.", "0")],
            "test": [("Bill whistled past the house.", None), ("The car honked.", None)],
        },
    ),
    "SST-2": (
        {
            "train.tsv": table("sentence label", "hide new secretions \t0", "contains no wit \t1"),
            "dev.tsv": table("sentence label", "it 's charming . \t1"),
            "test.tsv": table("index sentence", "0\tuneasy mishmash ."),
        },
        {
            "train": [("hide new secretions", "0"), ("contains no wit", "1")],
            "valid": [("it 's charming .", "1")],
            "test": [("uneasy mishmash .", None)],
        },
    ),
    "MRPC": (
        {
            "train.tsv": (
                '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t702876\t702977\tHe said " no " .\tHe'
                " refused .\n"
            ),
            "dev.tsv": (
                "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1355540\t1355592\tA pie .\tA cake .\n"
            ),
            "test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1089874\t1089925\tOne .\tTwo .\n",
        },
        {
            "train": [('He said " no " .', "He refused .", "1")],
            "valid": [("A pie .", "A cake .", "0")],
            "test": [("One .", "Two .", None)],
        },
    ),
    "STS-B": (
        {
            "train.tsv": table(f"{STSB_HEADER} score", f"0\t{STSB_ORIGIN}\tA plane.\tAn air plane.\t5.000"),
            "dev.tsv": table(f"{STSB_HEADER} score", f"0\t{STSB_ORIGIN}\tA hat.\tA hard hat.\t0.571"),
            "test.tsv": table(STSB_HEADER, f"0\t{STSB_ORIGIN}\tA girl.\tA woman."),
        },
        {
            "train": [("A plane.", "An air plane.", "5.000")],
            "valid": [("A hat.", "A hard hat.", "0.571")],
            "test": [("A girl.", "A woman.", None)],
        },
    ),
    "QQP": (
        {
            "train.tsv": table(
                *[QQP_HEADER, "133273\t213221\t213222\tHow is life?\tWhat is life?\t0"],
                *["251774\t\tHow do I", "learn?\t1", "286217\t395098\t395099\tWho am I?\tWhat am I?\t1"],
            ),
            "dev.tsv": table(QQP_HEADER, "201359\t303345\t303346\tWhy?\tHow so?\t0"),
            "test.tsv": table("id question1 question2", "0\tWould it work?\tDoes it work?"),
        },
        {
            "train": [("How is life?", "What is life?", "0"), ("Who am I?", "What am I?", "1")],
            "valid": [("Why?", "How so?", "0")],
            "test": [("Would it work?", "Does it work?", None)],
        },
    ),
    "MNLI": (
        {
            "train.tsv": table(
                f"{MNLI_HEADER} label1 gold_label",
                f"0\t{MNLI_PARSES}\tA b.\tC d.\tentailment\tneutral",
                f"1\t{MNLI_PARSES}\tE f.\tG h.\tneutral\tcontradiction",
            ),
            "dev_matched.tsv": table(
                MNLI_DEV_HEADER,
                f"0\t{MNLI_PARSES}\tI j.\tK l.\tneutral\tneutral\tneutral\tneutral\tneutral\tentailment",
            ),
            "dev_mismatched.tsv": table(
                MNLI_DEV_HEADER, f"0\t{MNLI_PARSES}\tM n.\tO p.{'	entailment' * 5}\tcontradiction"
            ),
            "test_matched.tsv": table(MNLI_HEADER, f"0\t{MNLI_PARSES}\tQ r.\tS t."),
            "test_mismatched.tsv": table(MNLI_HEADER, f"0\t{MNLI_PARSES}\tU v.\tW x."),
        },
        {
            "train": [("A b.", "C d.", "neutral"), ("E f.", "G h.", "contradiction")],
            "valid": [("I j.", "K l.", "entailment")],
            "valid1": [("M n.", "O p.", "contradiction")],
            "test": [("Q r.", "S t.", None)],
            "test1": [("U v.", "W x.", None)],
        },
    ),
    "QNLI": (
        {
            "train.tsv": table("index question sentence label", "0\tWhen?\tIn 1931.\tentailment"),
            "dev.tsv": table("index question sentence label", "0\tWho?\tIn 1932.\tnot_entailment"),
            "test.tsv": table("index question sentence", "0\tWhere?\tIn the sea."),
        },
        {
            "train": [("When?", "In 1931.", "entailment")],
            "valid": [("Who?", "In 1932.", "not_entailment")],
            "test": [("Where?", "In the sea.", None)],
        },
    ),
    "RTE": (
        {
            "train.tsv": table("index sentence1 sentence2 label", "0\tNo weapons.\tWeapons.\tnot_entailment"),
            "dev.tsv": table("index sentence1 sentence2 label", "0\tDana has died.\tDana died.\tentailment"),
            "test.tsv": table("index sentence1 sentence2", "0\tMangla.\tShukla."),
        },
        {
            "train": [("No weapons.", "Weapons.", "not_entailment")],
            "valid": [("Dana has died.", "Dana died.", "entailment")],
            "test": [("Mangla.", "Shukla.", None)],
        },
    ),
    "WNLI": (
        {
            "train.tsv": table(
                "index sentence1 sentence2 label", "0\tI stuck a pin through it.\tIt had a hole.\t1"
            ),
            "dev.tsv": table("index sentence1 sentence2 label", "0\tThe drain is clogged.\tThe hair is.\t0"),
            "test.tsv": table("index sentence1 sentence2", "0\tMaude ran.\tHorses ran."),
        },
        {
            "train": [("I stuck a pin through it.", "It had a hole.", "1")],
            "valid": [("The drain is clogged.", "The hair is.", "0")],
            "test": [("Maude ran.", "Horses ran.", None)],
        },
    ),
    "AX": (
        {"diagnostic.tsv": table("index sentence1 sentence2", "0\tThe cat sat.\tThe cat did not sit.")},
        {"test": [("The cat sat.", "The cat did not sit.", None)]},
    ),
}
FOLDERS = [
    *((name, "diagnostic" if name == "AX" else name) for name in LAYOUTS),
    ("AX", "AX"),
    ("SST-2", "SST"),
    ("STS-B", "STS"),
]
MICROSOFT = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"


def lay_out(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    return folder


def plain(splits):
    return {
        split: [(*example.texts, example.label) for example in examples] for split, examples in splits.items()
    }


def test_every_test_of_glue_has_a_layout_here():
    assert LAYOUTS.keys() == GLUE.keys() and len(GLUE) == 10


@pytest.mark.parametrize(("name", "folder"), FOLDERS)
def test_the_official_files_give_their_texts_and_labels(tmp_path, name, folder):
    files, expected = LAYOUTS[name]
    lay_out(tmp_path / folder, files)
    assert plain(read_glue(tmp_path, name)) == expected


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("STS-B", "AX")])
def test_the_labels_of_the_files_are_those_that_the_task_names(name):
    labels = {
        row[-1] for split, rows in LAYOUTS[name][1].items() if not split.startswith("test") for row in rows
    }
    assert labels == set(GLUE[name].labels)


def test_labels_stand_in_the_order_of_the_originals_scores():
    assert NLI == ("contradiction", "entailment", "neutral") and ENTAILMENT == (
        "entailment",
        "not_entailment",
    )
    assert all(GLUE[name].labels == ("0", "1") for name in ("CoLA", "SST-2", "MRPC", "QQP", "WNLI"))


def test_examples_know_their_file_and_line(tmp_path):
    folder = lay_out(tmp_path / "QQP", LAYOUTS["QQP"][0])
    assert [example.place for example in read_glue(tmp_path, "QQP")["train"]] == [
        f"{folder}/train.tsv, line {i}" for i in (2, 5)
    ]


def test_microsofts_mrpc_is_split_by_the_pairs_of_ids_in_their_order(tmp_path):
    rows = ['1\t11\t12\tHe said "no".\tHe refused.', "0\t12\t11\tA pie.\tA cake.", "1\t13\t14\tOne.\t1."]
    files = {
        "msr_paraphrase_train.txt": MICROSOFT + "".join(f"{row}\r\n" for row in rows),
        "msr_paraphrase_test.txt": MICROSOFT + "1\t15\t16\tUp.\tDown.\r\n",
        "dev_ids.tsv": "12\t11\n99\t98\n",
    }
    folder = lay_out(tmp_path / "MRPC", files)
    found = read_glue(tmp_path, "MRPC")
    assert plain(found) == {
        "train": [('He said "no".', "He refused.", "1"), ("One.", "1.", "1")],
        "valid": [("A pie.", "A cake.", "0")],
        "test": [("Up.", "Down.", None)],
    }
    assert found["train"][1].place == f"{folder}/msr_paraphrase_train.txt, line 4"


def test_microsofts_mrpc_without_the_ids_of_the_dev_set_is_refused(tmp_path):
    lay_out(tmp_path / "MRPC", {"msr_paraphrase_train.txt": MICROSOFT + "1\t11\t12\tA.\tB.\r\n"})
    with pytest.raises(
        InputError,
        match=r"MRPC holds none of train\.tsv, dev\.tsv, test\.tsv; give GLUE's files under their own names",
    ):
        read_glue(tmp_path, "MRPC")


def test_glues_own_files_go_before_microsofts(tmp_path):
    files, expected = LAYOUTS["MRPC"]
    microsoft = {"msr_paraphrase_train.txt": MICROSOFT + "1\t11\t12\tA.\tB.\r\n", "dev_ids.tsv": "12\t11\n"}
    lay_out(tmp_path / "MRPC", files | microsoft)
    assert plain(read_glue(tmp_path, "MRPC")) == expected


def test_splits_that_are_not_there_are_left_out(tmp_path):
    lay_out(tmp_path / "MNLI", {"dev_mismatched.tsv": LAYOUTS["MNLI"][0]["dev_mismatched.tsv"]})
    assert plain(read_glue(tmp_path, "MNLI")) == {"valid1": LAYOUTS["MNLI"][1]["valid1"]}


def test_a_share_of_the_training_examples_can_be_held_out():
    train = [Example((f"text {number}",), "1", f"line {number}") for number in range(40)]
    splits = {"train": train, "valid": [Example(("dev",), "0", "")], "test": [Example(("test",), None, "")]}
    parts = held_out("CoLA", splits, 0.1)
    assert set(parts) == {"train", "valid"} and len(parts["valid"]) == 4
    assert sorted(parts["train"] + parts["valid"], key=train.index) == train
    assert parts["valid"] != train[:4] and parts == held_out("CoLA", splits, 0.1)
    assert all(each == sorted(each, key=train.index) for each in parts.values())
    for share in (0.0, 1.0, -0.5, 1.5, 0.001, float("nan")):
        with pytest.raises(InputError, match=f"--hold-out {share:g} leaves no examples in train or in valid"):
            held_out("CoLA", splits, share)
    with pytest.raises(InputError, match="AX has no training examples for --hold-out"):
        held_out("AX", {"test": train}, 0.1)


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        (
            "CoLA",
            {},
            "{0}/CoLA holds none of train.tsv, dev.tsv, test.tsv; give GLUE's files under their own names",
        ),
        ("AX", {}, "{0}/AX holds none of diagnostic.tsv or AX.tsv or test.tsv; give GLUE's files"),
        (
            "CoLA",
            {"train.tsv": "gj04\t1\tNo third column.\n"},
            "{0}/CoLA/train.tsv, line 1: 3 columns, not 4",
        ),
        (
            "SST-2",
            {"dev.tsv": "index\tsentence\n0\tfine\n"},
            "{0}/SST-2/dev.tsv has no column 'label', its first line names 'index', 's",
        ),
        (
            "RTE",
            {"dev.tsv": table("index sentence1 sentence2 label", "0\tA\tB\t")},
            "{0}/RTE/dev.tsv, line 2: the label in column 'label'",
        ),
        # a test set that loses a line gets its predictions numbered wrong
        (
            "QQP",
            {"test.tsv": table("id question1 question2", "0\tA", "1\tB\tC")},
            "{0}/QQP/test.tsv, line 2: 2 columns, not 3",
        ),
        (
            "MRPC",
            {"msr_paraphrase_train.txt": MICROSOFT + "1\t2\t3\tA\r\n", "dev_ids.tsv": "2\t3\n"},
            "train.txt, line 2: 4 columns, not 5",
        ),
        (
            "MRPC",
            {"msr_paraphrase_train.txt": MICROSOFT, "dev_ids.tsv": "2 3\n"},
            "{0}/MRPC/dev_ids.tsv, line 1: 1 columns, not 2",
        ),
    ],
)
def test_bad_files_are_refused_by_name_and_line(tmp_path, name, files, message):
    lay_out(tmp_path / name, files)
    with pytest.raises(InputError) as caught:
        read_glue(tmp_path, name)
    assert message.format(tmp_path) in str(caught.value)


def test_a_folder_that_is_not_there_is_named_under_all_its_names(tmp_path):
    with pytest.raises(InputError) as caught:
        read_glue(tmp_path, "SST-2")
    assert (
        str(caught.value)
        == f"no {tmp_path}/SST-2 or {tmp_path}/SST; give the folder that holds GLUE's folders"
    )


COUNTS = {
    "CoLA": {"train": 8551, "valid": 1043, "test": 1063},
    "SST-2": {"train": 67349, "valid": 872, "test": 1821},
    "MRPC": {"train": 3668, "valid": 408, "test": 1725},
    "STS-B": {"train": 5749, "valid": 1500, "test": 1379},
    "QNLI": {"valid": 5463, "test": 5463},
    "RTE": {"train": 2490, "valid": 277, "test": 3000},
    "WNLI": {"train": 635, "valid": 71, "test": 146},
    "AX": {"test": 1104},
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_real_files_give_as_many_examples_as_pythons_csv_reader_finds(name):
    if not REAL.is_dir():
        pytest.skip(f"no {REAL}")
    found = read_glue(REAL, name)
    assert {split: len(examples) for split, examples in found.items()} == COUNTS[name]
    task = GLUE[name]
    for split, examples in found.items():
        with open(examples[0].place.rpartition(", line ")[0], encoding="utf-8-sig", newline="\n") as stream:
            names = ("source", "label", "star", "sentence") if name == "CoLA" and split != "test" else None
            rows = list(csv.DictReader(stream, names, delimiter="\t", quoting=csv.QUOTE_NONE))
        assert [example.texts for example in examples] == [
            tuple(row[column].strip() for column in task.texts) for row in rows
        ]
        assert all(text for example in examples for text in example.texts)
        if split == "test":
            assert {example.label for example in examples} == {None}
        else:
            assert [example.label for example in examples] == [row[task.label] for row in rows]
            assert {example.label for example in examples} == set(task.labels) or name == "STS-B"
