#!/usr/bin/env bash
# Converts a corpus: plain tokenized text in three parts, vocabulary, MindRecord.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
Usage: bash $(basename "$0") TEXT DEST [OPTIONS_JSON]

TEXT is a text file, a pipe or a folder of files. Writes into DEST:
  train.txt valid.txt heldout.txt    one sentence a line, words between spaces, an empty line between documents
  vocab.txt                          words of train.txt, most frequent first
  train.mindrecord and so on         for --data_url of train.py and eval.py
OPTIONS_JSON describes the biLM: a file, or original, small (default), imdb or tiny.

Variables:
  TOKENIZER   words (default) divides raw text, whitespace takes lines as sentences of words (1 Billion Word)
  MIN_COUNT   a word seen less often is <UNK> (default 3)
  VALID       share for validation (default 0.002), of the files; of documents or sentences where there are few files
  HELDOUT     share that is held out (default 0.01); 0 leaves a part out
  VOCAB       a vocabulary to use instead of building one
  PYTHON      the interpreter (default: the active virtual environment's, else python3)
END
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    usage >&2
    exit 2
fi
[ -e "$1" ] || fail "there is no file or folder '$1' in $PWD"
text=$(absolute "$1") dest=$(absolute "$2") options=${3:-small} vocabulary=${VOCAB:-}
[ ! -f "$options" ] || options=$(absolute "$options")
if [ -n "$vocabulary" ]; then
    [ -f "$vocabulary" ] || fail "VOCAB: there is no file '$vocabulary' in $PWD"
    vocabulary=$(absolute "$vocabulary")
fi
find_interpreter
cd -- "$MODEL_DIR"
"$INTERPRETER" -m src.data.division "$text" "$dest" --tokenizer "${TOKENIZER:-words}" \
    --valid "${VALID:-0.002}" --heldout "${HELDOUT:-0.01}"
if [ -n "$vocabulary" ]; then
    [ "$vocabulary" -ef "$dest/vocab.txt" ] || cp -- "$vocabulary" "$dest/vocab.txt"
else
    "$INTERPRETER" -m src.data.vocabulary "$dest/train.txt" "$dest/vocab.txt" --min_count "${MIN_COUNT:-3}"
fi
for part in train valid heldout; do
    rm -f -- "$dest/$part.mindrecord" "$dest/$part.mindrecord.db" "$dest/$part.mindrecord.json" # of an older text
    [ -s "$dest/$part.txt" ] || continue
    "$INTERPRETER" convert_dataset.py --vocab_path "$dest/vocab.txt" --options_path "$options" --input_file "$dest/$part.txt" \
        --output_file "$dest/$part.mindrecord"
done
