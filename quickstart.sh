#!/usr/bin/env bash
# From a fresh machine to a trained, evaluated and exported model, on the CPU; bash quickstart.sh --help says more.
[ -n "${BASH_VERSION:-}" ] || { echo "error: this needs bash: bash quickstart.sh" >&2; exit 2; }
set -uo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/tools/venv.sh" || exit 2

usage() {
    cat <<'END'
Usage: bash quickstart.sh [--fresh]

Makes .venv, installs requirements.txt, writes a small synthetic corpus of film reviews into quickstart/, and trains,
evaluates, applies and exports lstm/ on the CPU. Nothing but Python packages is downloaded. A second run uses again
what is complete; --fresh removes quickstart/ first.

PYTHON=/path/to/python chooses the interpreter (3.9 to 3.12), VENV_DIR another place than .venv.
END
}

WORK=$REPOSITORY/quickstart
case ${1:-} in
    '') ;;
    --fresh) rm -rf -- "$WORK" ;;
    -h | --help) usage; exit 0 ;;
    *) echo "error: unknown argument '$1'; run bash quickstart.sh --help" >&2; exit 2 ;;
esac

mkdir -p "$WORK/logs" || exit 2
ensure_venv requirements.txt || exit
LSTM=$REPOSITORY/lstm
export MPLBACKEND=Agg GLOG_v=${GLOG_v:-3} PYTHONUNBUFFERED=1

# Runs one step with its output on the terminal and in its log; a failing one ends everything with its code.
step() { # NAME SENTENCE COMMAND...
    local log=$WORK/logs/$1.log code start=$SECONDS
    printf '\n== %s\n' "$2"
    "$VENV_PYTHON" "${@:3}" 2>&1 | tee -i "$log"
    code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        printf 'error: the step "%s" failed with code %s; its log: %s\n' "$1" "$code" "$log" >&2
        exit "$code"
    fi
    echo "($((SECONDS - start)) s)"
}

# A finished step leaves a mark with the checksum of the code that it ran; other code makes it run again.
code_sum() { cat "$LSTM"/*.py "$LSTM"/src/*.py "$LSTM"/src/model_utils/*.py "$LSTM"/requirements.txt | cksum; }
is_done() { [ "$(cat "$WORK/.$1" 2>/dev/null)" = "$(code_sum)" ]; }
mark_done() { code_sum >"$WORK/.$1"; }

CORPUS=$WORK/aclImdb OUTPUTS=$WORK/outputs CHECKPOINT=$WORK/outputs/lstm_best.ckpt
cd -- "$LSTM" || exit 2
if is_done corpus && [ -d "$CORPUS" ]; then
    echo "the corpus in $CORPUS is used again"
else
    rm -rf -- "$CORPUS"
    step corpus "writing synthetic film reviews" -m src.sample_data "$CORPUS" --reviews 1000
    mark_done corpus
fi

cd -- "$WORK" || exit 2 # MindSpore leaves folders where it runs
if is_done train && [ -f "$CHECKPOINT" ]; then
    echo "the trained checkpoint is used again; to start afresh: bash quickstart.sh --fresh"
else
    rm -rf -- "$OUTPUTS"
    step train "training" "$LSTM/train.py" --preset tiny --device_target CPU --aclimdb_path "$CORPUS" \
        --preprocess_path "$WORK/preprocess" --ckpt_path "$OUTPUTS"
    mark_done train
fi

step evaluate "evaluating on the test reviews" "$LSTM/eval.py" --device_target CPU --ckpt_path "$CHECKPOINT" \
    --aclimdb_path "$CORPUS" --preprocess_path "$WORK/preprocess" --json
step predict "predicting two sentences" "$LSTM/predict.py" --device_target CPU --ckpt_path "$CHECKPOINT" \
    "A wonderful film with a great cast, I loved every minute of it." "Boring and badly acted, a waste of time."
step export "exporting, and comparing with the checkpoint" "$LSTM/export.py" --device_target CPU --ckpt_path "$CHECKPOINT" \
    --output_dir "$WORK/export" --formats MINDIR,ONNX

ACCURACY=$(sed -n 's/.*"accuracy": *\([0-9.]*\).*/\1/p' "$WORK/logs/evaluate.log" | awk '{ printf "%.1f %%", 100 * $1 }')

cat <<END

== done
test accuracy  $ACCURACY (on synthetic reviews: a check of the pipeline, not of quality)
checkpoint     quickstart/outputs/lstm_best.ckpt
curves         quickstart/outputs/curves.png
exported       quickstart/export/
logs           quickstart/logs/

next:
  . ${VENV_DIR#"$REPOSITORY"/}/bin/activate
  cd lstm
  python predict.py "your own sentence" --ckpt_path ../quickstart/outputs/lstm_best.ckpt
  bash script/run_train_cpu.sh /path/to/aclImdb              # the real reviews; README.md says where to get them
  cd .. && bash run_tests.sh
END
