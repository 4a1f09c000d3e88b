#!/usr/bin/env bash
# Makes manifests of speechocean762, a free corpus of learners' English, which it downloads if need be.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

SPEECHOCEAN_URL=${SPEECHOCEAN_URL:-https://github.com/jimbozhang/speechocean762.git}

usage() {
    cat <<END
Usage: bash $(basename "$0") DIR DEST [-- OPTION...]

Writes DEST/{train,valid,test}.jsonl, whose labels are the 39 phones of the CMU dictionary without stress, and
DEST/groups.tsv, by which eval.py --groups scores children and adults, women and men, and texts new to the network. DIR
holds the corpus: WAVE/, train/, test/ and resource/. Where there is no folder DIR, the corpus (690 MB, 5,000 utterances
of 250 speakers, 6 hours) is cloned by git into it. By hand: $SPEECHOCEAN_URL

Training and test speakers differ. Validation speakers are some of the training part, the same share of children and
adults, women and men. Options after -- go to python -m src.speechocean: --valid_speakers N, --seed N.

Variables:
  PYTHON           the interpreter (default: the active virtual environment's, else python3)
  SPEECHOCEAN_URL  another place to clone from
END
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
esac
[ $# -ge 2 ] && [ "$1" != -- ] && [ "$2" != -- ] || { usage >&2; exit 2; }
corpus=$(absolute "$1") dest=$(absolute "$2")
shift 2
[ "${1:-}" != -- ] || shift

if [ ! -d "$corpus" ]; then
    command -v git >/dev/null || fail "git is missing: install it, or get $SPEECHOCEAN_URL by hand"
    unfinished=$(dirname "$corpus")/.$(basename "$corpus").unfinished
    mkdir -p "$(dirname "$corpus")"
    rm -rf "$unfinished"
    git clone --depth 1 "$SPEECHOCEAN_URL" "$unfinished" || fail "cannot clone $SPEECHOCEAN_URL"
    mv "$unfinished" "$corpus"
fi
[ -f "$corpus/resource/text-phone" ] || fail "$corpus: holds no resource/text-phone; give the folder of speechocean762"
find_interpreter
cd "$MODEL_DIR"
exec "$INTERPRETER" -m src.speechocean "$corpus" "$dest" "$@"
