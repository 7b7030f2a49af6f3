"""The comparison of attention within a window."""

import torch

from benchmark import windows


def test_both_forms_of_the_window_agree_and_the_report_becomes_a_table():
    found = windows.variants(300, 600, 128, torch.float32)
    mask, blocks = (found[name]() for name in (windows.MASK, windows.BLOCKS))
    assert mask.shape == (2, 300, windows.HEADS, windows.HEAD_SIZE) and torch.allclose(
        mask, blocks, atol=1e-5
    )
    assert not torch.allclose(mask, found[windows.WHOLE](), atol=1e-3)
    rows = windows.compare(64, 64, 16, torch.float32, rounds=1)
    assert [row["variant"] for row in rows] == [windows.WHOLE, windows.MASK, windows.BLOCKS]
    report = {
        "machine": {"processor": "a processor", "torch": "2.13", "dtype": "float32"},
        "tokens": 64,
        "window": 16,
        "found": [{"length": 64, "rows": rows}],
    }
    table = windows.markdown(report)
    assert "| 64 | " in table and "window 16" in table
