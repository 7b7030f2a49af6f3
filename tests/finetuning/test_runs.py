"""What is said of a run that ended, and whether its learning rate is to blame."""

import pytest

from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.errors import DeviceFaultError, DivergedError, InputError
from fairseq_electra.finetuning.runs import DIVERGED, trouble_of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FloatingPointError("gradients are Nan/Inf"),
            DIVERGED + "gradients are Nan/Inf; use a lower --lr or a longer --warmup-updates, and look at the"
            " rows in nonfinite_rows.json of --save-dir if that does not help",
        ),
        (DivergedError("--autocast fp16: losses overflow"), DIVERGED + "--autocast fp16: losses overflow"),
        # as a process that was spawned hands it on
        (
            Exception("Traceback ...\nfairseq_electra.errors.DivergedError: losses overflow\n"),
            DIVERGED + "losses overflow",
        ),
        (
            DeviceFaultError("but not when it was done once more"),
            "DeviceFaultError: but not when it was done once more",
        ),
        (InputError("no such file"), "no such file"),
        (ZeroDivisionError("x"), "ZeroDivisionError: x"),
    ],
)
def test_trouble_of_tells_diverged_from_failed(error, said):
    assert trouble_of(error, input_error(error)) == said
