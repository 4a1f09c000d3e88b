#!/usr/bin/env bash
# Downloads, checks and unpacks the 1 Billion Word benchmark (Chelba et al. 2013).
set -euo pipefail

NAME=1-billion-word-language-modeling-benchmark-r13output
LM1B_URL=${LM1B_URL:-https://www.statmt.org/lm-benchmark/$NAME.tar.gz}
# The site states no checksum; this one is what other projects (TensorFlow Datasets among them) publish for the archive.
LM1B_SHA256=${LM1B_SHA256:-01ba60381110baf7f189dfd2b8374de371e8c9a340835793f190bdae9e90a34e}

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST

Writes DEST/$NAME (1.8 GB to download).
An interrupted download continues when the command is run again; what is there already is left alone.
By hand: put the archive into DEST, then run the command; it checks and unpacks it without a network.
  $LM1B_URL

Then, for the training text and for the text that is held out:
  TOKENIZER=whitespace HELDOUT=0 bash script/convert_dataset.sh \\
      DEST/$NAME/training-monolingual.tokenized.shuffled lm1b original
  python convert_dataset.py --vocab_path lm1b/vocab.txt --options_path original --output_file lm1b/heldout.mindrecord \\
      --input_file DEST/$NAME/heldout-monolingual.tokenized.shuffled

Variables:
  LM1B_URL, LM1B_SHA256  another source of the archive and its checksum
END
}

fail() { # EXIT_CODE MESSAGE
    printf 'error: %s\n' "$2" >&2
    exit "$1"
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi <"$1" | cut -d ' ' -f 1
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '') usage >&2; exit 2 ;;
    -*) fail 2 "unknown option $1; run it without arguments to see the usage" ;;
esac
[ $# -eq 1 ] || fail 2 "too many arguments: $*; run it without arguments to see the usage"
mkdir -p -- "$1"
archive=$1/$NAME.tar.gz
if [ -d "$1/$NAME" ]; then
    echo "$1/$NAME is there already"
    exit 0
fi
if [ ! -f "$archive" ]; then
    echo "downloading $LM1B_URL"
    if command -v curl >/dev/null; then
        curl -fL --retry 3 --connect-timeout 30 -C - -o "$archive.part" "$LM1B_URL" || code=$?
    elif command -v wget >/dev/null; then
        wget -nv -c --tries=3 --timeout=30 -O "$archive.part" "$LM1B_URL" || code=$?
    else
        fail 1 "curl or wget is needed to download"
    fi
    [ "${code:-0}" -eq 0 ] || fail 1 "no download: run this again to continue, or get $LM1B_URL by hand, put it there \
as $archive and run this again"
    found=$(sha256 "$archive.part")
    if [ "$found" != "$LM1B_SHA256" ]; then
        rm -f -- "$archive.part"
        fail 1 "$LM1B_URL: wrong sha256 checksum $found, expected $LM1B_SHA256; the download was deleted"
    fi
    mv -- "$archive.part" "$archive"
else
    echo "checking $archive"
    found=$(sha256 "$archive")
    [ "$found" = "$LM1B_SHA256" ] ||
        fail 2 "$archive: wrong sha256 checksum $found, the file is damaged; delete it and run this again"
fi
echo "unpacking $archive"
work=$(mktemp -d "$1/.unpack.XXXXXX") # nothing half unpacked is ever taken for the corpus
trap 'rm -rf -- "$work"' EXIT
tar -xzf "$archive" -C "$work" --no-same-owner
[ -d "$work/$NAME" ] || fail 2 "$archive: holds no $NAME"
mv -- "$work/$NAME" "$1/$NAME"
echo "$1/$NAME is ready; $archive can be deleted"
