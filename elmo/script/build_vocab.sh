#!/usr/bin/env bash
# Builds a vocabulary from any text.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
Usage: bash $(basename "$0") TEXT VOCAB [-- OPTION...]

Counts the words of TEXT, a file or a folder of files, and writes them to VOCAB, most frequent first, after the three
lines <S>, </S> and <UNK>. Words stand between spaces; -- --tokenizer words divides raw text.
Options after --: --min_count N (default 3), --max_size N, --tokenizer {whitespace,words}.

Variables:
  PYTHON  the interpreter (default: the active virtual environment's, else python3)
END
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 2 ] || { [ $# -gt 2 ] && [ "$3" != -- ]; }; then
    usage >&2
    exit 2
fi
text=$(absolute "$1") vocabulary=$(absolute "$2")
shift 2
[ "${1:-}" != -- ] || shift
find_interpreter
cd -- "$MODEL_DIR"
exec "$INTERPRETER" -m src.data.vocabulary "$text" "$vocabulary" "$@"
