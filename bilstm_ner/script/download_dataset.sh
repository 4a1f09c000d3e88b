#!/usr/bin/env bash
# Downloads ResumeNER, the corpus that this model is trained with, and checks it.
set -euo pipefail

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

fail() { # EXIT_CODE MESSAGE
    printf 'error: %s\n' "$2" >&2
    exit "$1"
}

checksum() { # NAME
    case $1 in
        train) echo 93b9bb0be5dd4730121587f9dc1378de3fbbe55cba1c575edec271f822c27be7 ;;
        dev) echo 1b0d67153e6e8543e9444936ed1b107bd843078c282533898085e1a9aa293952 ;;
        test) echo c4a9f42622819a4b59f66e184d446ebfa89b2f1dbba06e11d70675e59fe7e79b ;;
    esac
}

sha256() { # FILE
    if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

transfer() { # URL FILE
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 --connect-timeout 30 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q --tries=3 --timeout=30 -O "$2" "$1"
    else
        fail 2 "needs curl or wget; install one, or get the files by hand: bash $(basename "$0") --help"
    fi
}

is_good() { # NAME FILE
    [ -s "$2" ] && { [ "$CHECK" = 0 ] || [ "$(sha256 "$2")" = "$(checksum "$1")" ]; }
}

case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '') usage >&2; exit 2 ;;
    -*) fail 2 "unknown option '$1'" ;;
esac
[ $# -eq 1 ] || fail 2 "one argument too many, '$2'"
folder=$1/ResumeNER
mkdir -p "$folder" || exit 2
for name in train dev test; do
    file=$folder/$name.char.bmes
    if is_good "$name" "$file"; then
        echo "$file: ok"
        continue
    fi
    [ ! -e "$file" ] || fail 1 "$file: not the file that is expected; remove it and run this again, or set CHECK=0"
    unfinished=$file.unfinished
    trap 'rm -f -- "$unfinished"' EXIT
    transfer "$BASE/$name.char.bmes" "$unfinished" || fail 1 "$BASE/$name.char.bmes: cannot be downloaded; get it by hand: bash $(basename "$0") --help"
    is_good "$name" "$unfinished" || fail 1 "$BASE/$name.char.bmes: not the file that is expected; CHECK=0 accepts it"
    mv -- "$unfinished" "$file"
    echo "$file: ok"
done
