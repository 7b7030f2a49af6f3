"""The pre-training recipe of each size as a command line, and the defaults of trainings of minutes."""

import numpy as np

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

TOKENS = 128  # length of a row in a training of minutes, as in GLUE
MASK_PROB = 0.15  # default of --mask-prob
SHORT_RUNS = {size: row.short_run for size, row in MODEL_SIZES.items() if row.short_run is not None}


def networks(size: str) -> tuple[EncoderSizes, EncoderSizes]:
    """Return the sizes of the discriminator and the generator that ``--arch`` builds."""
    row = MODEL_SIZES[size]
    return row.arch_encoder, row.arch_encoder.generator(row.generator_share, 1.0)


def arguments(size: str) -> list[str]:
    """Return the arguments of ``fairseq-train`` that pre-train a size, as in ``config/pretraining``."""
    recipe = MODEL_SIZES[size].pretraining
    several = recipe.batch // recipe.rows_at_once
    lr = np.format_float_scientific(recipe.lr, trim="-", exp_digits=1)
    return [
        *(
            "data-bin",
            "--user-dir",
            "fairseq_electra",
            "--task",
            "electra_pretraining",
            "--arch",
            f"electra_{size}",
        ),
        *("--criterion", "replaced_token_detection", "--tokens-per-sample", str(recipe.tokens)),
        *(("--mask-prob", f"{recipe.mask_prob:g}") if recipe.mask_prob != MASK_PROB else ()),
        *(
            "--batch-size",
            str(recipe.rows_at_once),
            *(("--update-freq", str(several)) if several > 1 else ()),
        ),
        *("--autocast", "bf16", "--optimizer", "electra_adam", "--lr", lr, "--clip-norm", "1.0"),
        *("--lr-scheduler", "polynomial_decay", "--warmup-updates", str(recipe.warmup)),
        *("--total-num-update", str(recipe.updates), "--max-update", str(recipe.updates)),
        *(
            "--validate-interval-updates",
            str(recipe.save_every),
            "--save-interval-updates",
            str(recipe.save_every),
        ),
        *(
            "--keep-interval-updates",
            "1",
            "--no-epoch-checkpoints",
            "--log-format",
            "json",
            "--save-dir",
            "checkpoints",
        ),
    ]
