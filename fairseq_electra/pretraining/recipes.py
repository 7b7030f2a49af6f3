"""How a size is pre-trained: the whole training as a command line, and what a short run starts from."""

import shlex

import numpy as np

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

TOKENS = 128  # length of a row in a training of minutes, as in GLUE
MASK_PROB = 0.15  # default of --mask-prob
SHORT_RUNS = {size: row.short_run for size, row in MODEL_SIZES.items() if row.short_run is not None}


def networks(size: str) -> tuple[EncoderSizes, EncoderSizes]:
    """Return the sizes of the discriminator and the generator that ``--arch`` builds."""
    row = MODEL_SIZES[size]
    return row.arch_encoder, row.generator_of(row.arch_encoder)


def arguments(size: str) -> list[str]:
    """Write the whole pre-training of a size as arguments of ``fairseq-train``, those of its YAML file."""
    recipe = MODEL_SIZES[size].pretraining
    mask_prob = f"--mask-prob {recipe.mask_prob:g}" if recipe.mask_prob != MASK_PROB else ""
    several = recipe.batch // recipe.rows_at_once
    update_freq = f"--update-freq {several}" if several > 1 else ""
    lr = np.format_float_scientific(recipe.lr, trim="-", exp_digits=1)
    return shlex.split(f"""
        data-bin --user-dir fairseq_electra --task electra_pretraining --arch electra_{size}
        --criterion replaced_token_detection --tokens-per-sample {recipe.tokens} {mask_prob}
        --batch-size {recipe.rows_at_once} {update_freq} --autocast bf16
        --optimizer electra_adam --lr {lr} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {recipe.warmup}
        --total-num-update {recipe.updates} --max-update {recipe.updates}
        --validate-interval-updates {recipe.save_every} --save-interval-updates {recipe.save_every}
        --keep-interval-updates 1 --no-epoch-checkpoints --log-format json --save-dir checkpoints
    """)
