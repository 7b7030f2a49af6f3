#!/usr/bin/env bash
# Make the tables of the main page for GLUE, entities and questions: vocabulary, two pre-trained models, choice of learning
# rates, five seeds. It takes hours:
#
#   nohup bash scripts/tables.sh TEXT GLUE NER SQUAD OUTPUT > tables.log 2>&1 &
#
# TEXT is a folder with wiki.train[0-8].txt.xz and wiki.valid.txt.xz; GLUE has CoLA, SST-2, ...; NER has wnut17 and
# ncbi_disease, each with train, dev and test; SQUAD has train-v1.1.json, dev-v1.1.json and the same files of 2.0. All output
# goes to OUTPUT. The same command line resumes after an interruption. If a run was started with different settings, the script
# stops with an error. examples/glue/README.md says how long it takes.
set -euo pipefail
[ $# -eq 5 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/scripts/setup.sh"
text=$(realpath "$1") glue=$(realpath "$2") ner=$(realpath "$3") squad=$(realpath "$4")
mkdir -p "$5"
cd "$5"
export PATH="$root/.venv/bin:$PATH"

once() { # NAME COMMAND...: a command that was killed leaves part of its files, so its end is marked
  if [ -e "$1.done" ]; then echo "$1 is there"; return; fi
  "${@:2}"
  touch "$1.done"
}

once vocab fairseq-electra vocab --size 8192 --output vocab "$text"/wiki.train[0-8].txt.xz
once wiki-bin fairseq-electra encode --vocab vocab --destdir wiki-bin --trainpref "$text"/wiki.train[0-8].txt.xz --validpref "$text/wiki.valid.txt.xz"

pretrain() {
  mkdir -p "checkpoints/$1"
  OMP_NUM_THREADS=1 fairseq-train wiki-bin --user-dir "$(fairseq-electra user-dir)" --task electra_pretraining --arch electra_tiny \
    --criterion replaced_token_detection --tokens-per-sample 128 --batch-size 16 --autocast bf16 --optimizer electra_adam --clip-norm 1.0 \
    --lr-scheduler warmup_stable_decay --warmup-updates 500 --decay-updates 0.2 --max-update "$2" \
    --no-epoch-checkpoints --save-interval-updates 2000 --keep-interval-updates 1 \
    --num-workers 0 --cpu --log-format json --save-dir "checkpoints/$1" "${@:3}" >> "checkpoints/$1.log" 2>&1
}
mkdir -p checkpoints
pretrain electra 19850 --lr 1e-3 & first=$!
pretrain mlm 25095 --lr 1e-3 --objective mlm & second=$!
wait "$first"
wait "$second"

once glue-bin fairseq-electra prepare --vocab vocab --destdir glue-bin --glue "$glue" --tasks CoLA SST-2 MRPC STS-B RTE WNLI
fairseq-electra finetune --data glue-bin/{CoLA,SST-2,MRPC,STS-B,RTE,WNLI} --net electra=checkpoints/electra/checkpoint_last.pt \
    --net mlm=generator:checkpoints/mlm/checkpoint_last.pt --net scratch=scratch:tiny --seeds 5 --lr 1e-4 3e-4 1e-3 3e-3 \
    --epochs 3 MRPC=5 STS-B=5 SST-2=1 --output runs/glue -- --pooling mean --bias-correction --autocast bf16

for task in wnut17 ncbi_disease; do
  files=()
  for split in train valid test; do files+=("--$split" "$(ls "$ner/$task/${split/valid/dev}".*)"); done
  once "ner-bin/$task" fairseq-electra prepare --vocab vocab --destdir "ner-bin/$task" --conll "${files[@]}"
done
fairseq-electra finetune --data ner-bin/wnut17 ner-bin/ncbi_disease --net electra=checkpoints/electra/checkpoint_last.pt \
    --net scratch=scratch:tiny --seeds 5 --epochs 5 wnut17=10 --lr 1e-4 3e-4 1e-3 3e-3 --output runs/ner -- --bias-correction --autocast bf16

for version in 1.1 2.0; do
  once "squad-bin/squad$version" fairseq-electra prepare --vocab vocab --destdir "squad-bin/squad$version" --squad \
      --train "$squad/train-v$version.json" --valid "$squad/dev-v$version.json"
done
fairseq-electra finetune --data squad-bin/squad1.1 squad-bin/squad2.0 \
    --net electra=checkpoints/electra/checkpoint_last.pt --net scratch=scratch:tiny \
    --seeds 5 --epochs 3 --lr 1e-4 3e-4 1e-3 3e-3 --output runs/squad -- --bias-correction --disable-validation --autocast bf16
fairseq-electra finetune --data squad-bin/squad1.1 --net plain=checkpoints/electra/checkpoint_last.pt \
    --seeds 5 --epochs 3 --lr 1e-4 3e-4 1e-3 3e-3 --output runs/squad-plain \
    -- --bias-correction --disable-validation --autocast bf16 --answer-head independent
echo "$PWD/runs/{glue,ner,squad,squad-plain}/results.json have every run, and results.md in the same folders the tables"
