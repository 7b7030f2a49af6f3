#!/usr/bin/env bash
# Test this plugin with fairseq's last release, 0.12.2, on Python 3.10: vocabulary, data, training, resuming, validation, hydra.
#
#   bash scripts/fairseq_0.12.2.sh
#
# PYTHON       the Python 3.10 to use (default: python3.10)
# TORCH_INDEX  a package index for torch only, as for scripts/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
environment=${ENVIRONMENT:-$root/.venv-fairseq-0.12.2}
if [ ! -x "$environment/bin/fairseq-train" ]; then
  "${PYTHON:-python3.10}" -m venv "$environment"
  pip() { "$environment/bin/python" -m pip --disable-pip-version-check -q "$@"; }
  pip install 'pip<24.1' # later ones refuse omegaconf 2.0, which this fairseq asks for
  pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
  pip install fairseq==0.12.2 torch==2.13.0 'tokenizers>=0.20' sacremoses scikit-learn
fi
PATH=$environment/bin:$PATH
export PYTHONPATH=$root OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'tail -n 5 *.log >&2' ERR
cd "$folder"
electra() { python -c 'import sys; from fairseq_electra.cli import main; sys.exit(main())' "$@"; }
train() {
  fairseq-train data-bin --user-dir "$root/fairseq_electra" --task electra_pretraining --arch electra_tiny --criterion replaced_token_detection \
    --tokens-per-sample 64 --batch-size 8 --optimizer electra_adam --lr 1e-3 --clip-norm 1.0 --lr-scheduler polynomial_decay \
    --warmup-updates 5 --total-num-update 40 --cpu --log-format json --log-interval 5 --no-epoch-checkpoints "$@" 2>&1
}
head -c 400000 "$root"/README.md "$root"/fairseq_electra/*/*.py > text
head -c 20000 "$root"/CONTRIBUTING.md "$root"/CHANGELOG.md > few
electra vocab --size 1000 --output vocab text
electra encode --vocab vocab --destdir data-bin --trainpref text --validpref few
train --max-update 20 --save-dir whole > whole.log
train --max-update 10 --save-dir resumed > first.log
train --max-update 20 --save-dir resumed > second.log
grep -q "Loaded checkpoint" second.log
python - << 'PYTHON'
import torch
one, two = (torch.load(f"{name}/checkpoint_last.pt", weights_only=True)["model"] for name in ("whole", "resumed"))
assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one), "resumed and whole differ"
PYTHON
fairseq-validate data-bin --user-dir "$root/fairseq_electra" --task electra_pretraining --path resumed/checkpoint_last.pt --batch-size 8 --cpu \
  --log-format json 2>&1 | grep -o '"valid_disc_auc": "[0-9.]*"'
# a file of all the options that this release has
ln -s "$root/fairseq_electra" .
python -c 'import sys; from fairseq_electra.cli.config import from_comment, to_yaml; print(to_yaml(from_comment(sys.stdin.read()), full=True))' \
  < fairseq_electra/config/pretraining/electra_tiny.yaml > tiny.yaml 2> config.log
fairseq-hydra-train --config-dir "$folder" --config-name tiny common.cpu=true optimization.max_update=3 checkpoint.save_dir=hydra > hydra.log 2>&1
test -s hydra/checkpoint_last.pt
echo "fairseq $(python -c 'import fairseq; print(fairseq.__version__)'), $(python --version): train, resume (to the last bit), validate, hydra: all right"
