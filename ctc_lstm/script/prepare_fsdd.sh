#!/usr/bin/env bash
# Makes manifests of random strings of spoken digits from the Free Spoken Digit Dataset, which it downloads if need be.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

FSDD_URL=${FSDD_URL:-https://github.com/Jakobovski/free-spoken-digit-dataset.git}
RECORDINGS=3000
# SHA-256 of the checksums of all recordings in alphabetical order: which recordings the README's figures are from.
FSDD_SHA256=${FSDD_SHA256:-06ee4e7ce5c6fb0ee4ab1923691f365a9f003a1e1681cc0744c733647821004e}

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST [RECORDINGS_DIR] [-- OPTION...]

Writes DEST/{train,valid,test}.jsonl and the WAV files that they name: strings of 1 to 7 digits by one speaker each.
Test strings are made of the recordings 0 to 4 of each digit and speaker, which is the dataset's own test set,
validation strings of 45 to 49, training strings of the others. Without RECORDINGS_DIR the recordings (27 MB,
CC BY-SA 4.0) are cloned by git into DEST/fsdd. By hand: $FSDD_URL

Options after -- go to python -m src.digit_strings, such as --held_out_speakers theo,lucas to test on those alone.

Variables:
  PYTHON       the interpreter (default: the active virtual environment's, else python3)
  FSDD_URL     another place to clone from
  FSDD_SHA256  the checksum of other recordings
END
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '' | --) usage >&2; exit 2 ;;
esac
dest=$(absolute "$1")
shift
recordings=$dest/fsdd/recordings
if [ $# -gt 0 ] && [ "$1" != -- ]; then
    recordings=$(absolute "$1")
    [ -d "$recordings" ] || fail "there is no folder $recordings"
    shift
fi
[ "${1:-}" != -- ] || shift

if [ ! -d "$recordings" ]; then
    command -v git >/dev/null || fail "git is missing: install it, or get $FSDD_URL by hand and give RECORDINGS_DIR"
    mkdir -p "$dest"
    rm -rf "$dest/.fsdd.unfinished"
    git clone --depth 1 "$FSDD_URL" "$dest/.fsdd.unfinished" || fail "cannot clone $FSDD_URL"
    mv "$dest/.fsdd.unfinished" "$dest/fsdd"
fi
count=$(find "$recordings" -maxdepth 1 -name '*.wav' | wc -l)
found=$(cd "$recordings" && LC_ALL=C sha256 *.wav | cut -d ' ' -f 1 | sha256 | cut -d ' ' -f 1)
if [ "$count" -ne "$RECORDINGS" ] || [ "$found" != "$FSDD_SHA256" ]; then
    echo "warning: $recordings holds $count recordings and not the $RECORDINGS that the README's figures are from" >&2
fi
find_interpreter
cd "$MODEL_DIR"
exec "$INTERPRETER" -m src.digit_strings "$recordings" "$dest" "$@"
