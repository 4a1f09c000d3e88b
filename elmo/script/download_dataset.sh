#!/usr/bin/env bash
# Downloads, checks and unpacks the 1 Billion Word benchmark (Chelba et al. 2013).
. "$(dirname -- "${BASH_SOURCE[0]}")/download.sh"

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

read_arguments 1 "$@"
mkdir -p -- "$1"
archive=$1/$NAME.tar.gz
if [ -d "$1/$NAME" ]; then
    echo "$1/$NAME is there already"
    exit 0
fi
fetch sha256 "$archive" "$LM1B_URL" "$LM1B_SHA256"
unpack "$archive" "$1" "$NAME"
mv -- "$WORK/$NAME" "$1/$NAME"
echo "$1/$NAME is ready; $archive can be deleted"
