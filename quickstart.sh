#!/usr/bin/env bash
# From a fresh machine to a trained, evaluated and exported model, on the CPU; bash quickstart.sh --help says more.
[ -n "${BASH_VERSION:-}" ] || { echo "error: this needs bash: bash quickstart.sh" >&2; exit 2; }
set -uo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/tools/venv.sh" || exit 2

usage() {
    cat <<END
Usage: bash quickstart.sh [--fresh] [MODEL]

MODEL is one of these; without it, lstm:
  lstm         sentiment of film reviews
  bilstm_ner   named entities of Chinese résumés
  ctc_lstm     phones of recorded speech
  gru_seq2seq  translation from German to English
  elmo         word vectors that know their context

Makes .venv, installs requirements.txt ($NEEDED_TEXT), writes a small synthetic corpus into quickstart/MODEL/, and trains,
evaluates, applies and exports the model on the CPU, in one to three minutes. Nothing but Python packages is downloaded. A
second run uses again what is complete; --fresh removes quickstart/MODEL/ first.

PYTHON=/path/to/python chooses the interpreter (3.9 to 3.12), VENV_DIR another place than .venv.
END
}

NAME=lstm FRESH= TAKES="about a minute"
for argument in "$@"; do
    case $argument in
        lstm | bilstm_ner | ctc_lstm | gru_seq2seq | elmo) NAME=$argument ;;
        --fresh) FRESH=yes ;;
        -h | --help) usage; exit 0 ;;
        *) echo "error: unknown argument '$argument'; run bash quickstart.sh --help" >&2; exit 2 ;;
    esac
done

MODEL=$REPOSITORY/$NAME WORK=$REPOSITORY/quickstart/$NAME
CORPUS=$WORK/corpus OUTPUTS=$WORK/outputs CHECKPOINT=$WORK/outputs/${NAME}_best.ckpt PREPARED=$WORK/preprocess
SEEN=quickstart/$NAME BEST=quickstart/$NAME/outputs/${NAME}_best.ckpt # as the user sees them

# What the models differ in: the corpus and how much of it is written, what train.py and eval.py take, what the model is
# applied to, the line of eval.py's table that counts, the pictures, and three commands to go on with.
corpus=("$CORPUS") prepare=() pictures=("report.html           open it in a browser: scores, errors, curves" "outputs/curves.png    loss, validation score, learning rate")
case $NAME in
    lstm)
        corpus+=(--reviews 1000) result=accuracy
        train=(--aclimdb_path "$CORPUS" --preprocess_path "$PREPARED") evaluate=(--aclimdb_path "$CORPUS")
        apply=(predict.py "A wonderful film with a great cast, I loved every minute of it." "Boring and badly acted, a waste of time.")
        next=(
            "python lstm/predict.py \"your own sentence\" --ckpt_path $BEST"
            "bash lstm/script/download_dataset.sh data aclimdb    # the real reviews, 84 MB"
            "bash lstm/script/run_train_cpu.sh data/aclImdb       # about 12 minutes on 2 cores"
        )
        ;;
    bilstm_ner)
        result="entities, strict"
        train=(--data_path "$CORPUS" --preprocess_path "$PREPARED") evaluate=(--data_path "$CORPUS")
        apply=(predict.py 王伟先生，中国国籍，1970年出生，现任天津通信集团总经理。)
        next=(
            "python bilstm_ner/predict.py 您的句子 --html entities.html --ckpt_path $BEST"
            "bash bilstm_ner/script/download_dataset.sh data             # the real résumés, 1.3 MB"
            "bash bilstm_ner/script/run_train_cpu.sh data/ResumeNER      # about 3 minutes on 2 cores"
        )
        ;;
    ctc_lstm)
        result="error rate"
        train=(--data_path "$CORPUS" --preprocess_path "$PREPARED") evaluate=(--data_path "$CORPUS")
        apply=(predict.py "$CORPUS/TEST/DR5/FAAM0/SX10.WAV" --plot "$WORK/plots")
        pictures+=("plots/SX10.png        waveform, spectrogram and posteriors of a recording")
        next=(
            "python ctc_lstm/predict.py your.wav --times --plot plots --ckpt_path $BEST"
            "bash ctc_lstm/script/prepare_fsdd.sh data/digits                               # spoken digits, 27 MB"
            "bash ctc_lstm/script/run_train_cpu.sh data/digits -- --preset fsdd             # about 2 minutes on 2 cores"
        )
        ;;
    gru_seq2seq)
        TAKES="about 3 minutes" result="BLEU"
        train=(--data_dir "$CORPUS" --preprocess_path "$PREPARED") evaluate=(--data_dir "$CORPUS")
        apply=(predict.py "Ein kleiner Hund sieht heute einen Ball." --plot "$WORK/plots")
        pictures+=("plots/1.png           what each word of the translation attends to")
        next=(
            "python gru_seq2seq/predict.py \"Ein kleiner Hund sieht heute einen Ball.\" --n_best 3 --ckpt_path $BEST"
            "bash gru_seq2seq/script/download_dataset.sh data            # captions in both languages, a few MB"
            "bash gru_seq2seq/script/run_train_cpu.sh data/multi30k      # about 30 minutes on 2 cores"
        )
        ;;
    elmo)
        result="perplexity both"
        prepare=(bash "$MODEL/script/convert_dataset.sh" "$CORPUS" "$PREPARED" tiny)
        train=(--data_url "$PREPARED") evaluate=(--data_url "$PREPARED")
        apply=(neighbours.py "The *film* was good ." --input_file "$PREPARED/heldout.txt")
        next=(
            "python elmo/embed.py --ckpt_path $BEST --input_file your.txt --output_file vectors.hdf5"
            "MIN_COUNT=5 bash elmo/script/convert_dataset.sh your_texts prepared imdb             # any text in UTF-8"
            "bash elmo/script/run_train_cpu.sh prepared -- --preset imdb"
        )
        ;;
esac

echo "quick start of $NAME: $TAKES on 2 cores once the packages are installed, in $SEEN/"
[ -z "$FRESH" ] || rm -rf -- "$WORK"
mkdir -p "$WORK/logs" || exit 2
ensure_venv requirements.txt || exit
export MPLBACKEND=Agg GLOG_v=${GLOG_v:-3} PYTHONUNBUFFERED=1 PYTHON=$VENV_PYTHON

# Runs one step with its output on the terminal and in its log; a failing one ends everything with its code.
step() { # NAME SENTENCE COMMAND...
    local log=$WORK/logs/$1.log code start=$SECONDS
    printf '\n== %s\n' "$2"
    "${@:3}" 2>&1 | tee -i "$log"
    code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        printf 'error: the step "%s" failed with code %s; its log: %s\n' "$1" "$code" "$log" >&2
        exit "$code"
    fi
    echo "($((SECONDS - start)) s)"
}
program() { # NAME SENTENCE PROGRAM ARGUMENT...: a step of the trained model
    step "$1" "$2" "$VENV_PYTHON" "$MODEL/$3" --device_target CPU --ckpt_path "$CHECKPOINT" "${@:4}"
}

# A finished step leaves a mark with the checksum of the code that it ran; other code makes it run again.
code_sum() { find "$MODEL" \( -name tests -o -name results -o -name __pycache__ \) -prune -o -type f \( -name '*.py' -o -name '*.txt' \) -print0 | sort -z | xargs -0 cat | cksum; }
is_done() { [ "$(cat "$WORK/.$1" 2>/dev/null)" = "$(code_sum)" ]; }
mark_done() { code_sum >"$WORK/.$1"; }

cd -- "$MODEL" || exit 2
if is_done corpus && [ -d "$CORPUS" ]; then
    echo "the corpus in $CORPUS is used again"
else
    rm -rf -- "$CORPUS" "$PREPARED"
    step corpus "writing a synthetic corpus" "$VENV_PYTHON" -m src.sample_data "${corpus[@]}"
    [ ${#prepare[@]} -eq 0 ] || MIN_COUNT=1 VALID=0.05 HELDOUT=0.05 step prepare "preparing it" "${prepare[@]}"
    mark_done corpus
fi

cd -- "$WORK" || exit 2 # MindSpore leaves folders where it runs
if is_done train && [ -f "$CHECKPOINT" ]; then
    echo "the trained checkpoint is used again; to start afresh: bash quickstart.sh --fresh $NAME"
else
    rm -rf -- "$OUTPUTS"
    step train "training" "$VENV_PYTHON" "$MODEL/train.py" --preset tiny --device_target CPU --ckpt_path "$OUTPUTS" "${train[@]}"
    mark_done train
fi

program predict "applying it" "${apply[@]}"
program export "exporting, and comparing with the checkpoint" export.py --output_dir "$WORK/export"
program evaluate "evaluating on text that was not trained on" eval.py "${evaluate[@]}" --report "$WORK/report.html"

cat <<END

== done in $SECONDS s
result      $(grep -m 1 "^$result" "$WORK/logs/evaluate.log")
            on synthetic data: a check of the pipeline, not of quality
checkpoint  $BEST
exported    $SEEN/export/
logs        $SEEN/logs/
pictures
$(printf "  $SEEN/%s\n" "${pictures[@]}")

next, after . ${VENV_DIR#"$REPOSITORY"/}/bin/activate
$(printf '  %s\n' "${next[@]}")
END
