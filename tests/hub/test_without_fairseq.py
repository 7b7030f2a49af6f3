"""Using a model needs neither fairseq nor hydra."""

import json
import sys

import pytest

from fairseq_electra import from_pretrained
from tests.helpers.commands import run
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here

BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fairseq", "hydra", "omegaconf", "transformers"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Absent())
import torch, time
start = time.perf_counter()
import fairseq_electra, json
model = fairseq_electra.from_pretrained(sys.argv[1], "checkpoint_last.pt")
seconds = time.perf_counter() - start
texts = ["The orchestra played the <mask>.", "a class is an object"]
answers = [p.tolist() for p in model.detect_replaced(texts)], \
[token for _, _, token in model.fill_mask(texts[0])]
print(json.dumps([*answers, model.extract_features(texts[1]).sum().item(), seconds]))
"""


def test_hub_detects_and_fills_without_fairseq(tmp_path, data_bin):
    train_here(data_bin, tmp_path / "save", *TINY_NET, "--max-update", 2, "--disable-validation")
    done = run([sys.executable, "-c", BLOCKED, tmp_path / "save"], cwd=tmp_path)
    probabilities, filled, features, seconds = json.loads(done.stdout)
    model = from_pretrained(tmp_path / "save", "checkpoint_last.pt")
    texts = ["The orchestra played the <mask>.", "a class is an object"]
    for text, found in zip(texts, probabilities, strict=True):
        assert found == pytest.approx(model.detect_replaced(text)[0].tolist(), abs=1e-6)
    assert filled == [token for _, _, token in model.fill_mask(texts[0])]
    assert features == pytest.approx(model.extract_features(texts[1]).sum().item(), abs=1e-4)
    assert seconds < 30  # a second on an idle machine
