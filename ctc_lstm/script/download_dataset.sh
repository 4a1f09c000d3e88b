#!/usr/bin/env bash
# Says how to get TIMIT, which is licensed, and checks that a copy is complete; makes the digit corpus, which is free.
set -euo pipefail

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST [timit|fsdd]

timit (default): checks the corpus in DEST/TIMIT. It cannot be downloaded freely: the Linguistic Data Consortium
                 licenses it as LDC93S1, https://catalog.ldc.upenn.edu/LDC93S1. Unpack it so that DEST/TIMIT holds
                 TRAIN/ and TEST/, in any letter case.
fsdd:            the same as script/prepare_fsdd.sh DEST/digits, which needs no licence.
END
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '') usage >&2; exit 2 ;;
esac
here=$(dirname -- "${BASH_SOURCE[0]}")
case ${2:-timit} in
    fsdd) exec bash "$here/prepare_fsdd.sh" "$1/digits" ;;
    timit) ;;
    *) usage >&2; exit 2 ;;
esac

if [ ! -d "$1/TIMIT" ]; then
    usage >&2
    echo "error: there is no $1/TIMIT" >&2
    exit 2
fi
# Every speaker has ten sentences; -follow because the corpus is often a link to another disk.
count() { find -L "$1" -iname "$2" | wc -l | tr -d ' '; }
audio=$(count "$1/TIMIT" '*.wav') phones=$(count "$1/TIMIT" '*.phn')
echo "$1/TIMIT: $audio audio and $phones .PHN files; the full corpus has 6300 of each"
[ "$audio" -ge 6300 ] && [ "$phones" -eq 6300 ] || echo "this is a part of the corpus: see the README on partial corpora"
