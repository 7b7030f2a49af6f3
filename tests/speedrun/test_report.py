"""The files that a speedrun writes for a model that transformers has no class for."""

from fairseq_electra.speedrun import report
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here


def test_a_network_without_a_class_gets_a_sentence_and_a_card(tmp_path, data_bin, results):
    log = train_here(
        data_bin,
        tmp_path / "checkpoints",
        *TINY_NET,
        *"--norm pre --max-update 1 --num-workers 0".split(),
    )
    (tmp_path / "pretraining.log").write_text(log.text)
    lines = report.export(tmp_path, results)
    assert len(lines) == 1 and lines[0].startswith("no export for transformers: ")
    assert not (tmp_path / report.EXPORTED).exists() and not list(tmp_path.glob(".*partial"))
    card = (tmp_path / report.CARD).read_text()
    assert (
        "library_name: fairseq" in card
        and "fairseq_electra.from_pretrained" in card
        and "AutoTokenizer" not in card
    )
    assert "| CoLA, mcc | 10.0 (9.0 ± 0.5) | 56.8 |" in card and "| disc_auc |" in card
    report.write(tmp_path, results, lines)
    assert lines[0] in (tmp_path / report.README).read_text()
