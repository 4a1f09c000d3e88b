#!/usr/bin/env bash
# Downloads ResumeNER, the corpus that this model is trained with, and checks it.
. "$(dirname -- "${BASH_SOURCE[0]}")/download.sh"

# Of a mirror with other line ends or the like, set CHECK=0: train.py checks every line anyway.
BASE=${RESUME_NER_URL:-https://raw.githubusercontent.com/jiesutd/LatticeLSTM/master/ResumeNER}
CHECK=${CHECK:-1}

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST

Writes DEST/ResumeNER/{train,dev,test}.char.bmes (1.3 MB). What is there already and complete is left alone.

By hand: get the three files from the folder ResumeNER of https://github.com/jiesutd/LatticeLSTM, put them into
DEST/ResumeNER, then run the command; it checks them without a network.

Variables:
  RESUME_NER_URL  another folder to get the files from
  CHECK=0         accept files with other checksums
END
}

read_arguments 1 "$@"
folder=$1/ResumeNER
mkdir -p "$folder" || exit 2
trap '[ $? -eq 0 ] || echo "CHECK=0 accepts files with other checksums" >&2' EXIT
while read -r name sha256; do
    file=$folder/$name.char.bmes
    [ "$CHECK" != 0 ] || sha256=any
    fetch sha256 "$file" "$BASE/$name.char.bmes" "$sha256"
    echo "$file: ok"
done <<END
train 93b9bb0be5dd4730121587f9dc1378de3fbbe55cba1c575edec271f822c27be7
dev 1b0d67153e6e8543e9444936ed1b107bd843078c282533898085e1a9aa293952
test c4a9f42622819a4b59f66e184d446ebfa89b2f1dbba06e11d70675e59fe7e79b
END
