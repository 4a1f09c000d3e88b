#!/usr/bin/env bash
# Downloads, checks and unpacks the IMDB reviews and the GloVe vectors that this model is trained with.
set -euo pipefail

# With a URL of your own (a mirror, a file:// path) give its checksum too, unless the file is the same.
ACLIMDB_MD5=${ACLIMDB_MD5:-7c2ac02c03563afcf9b574c7e56c153a}
ACLIMDB_SOURCES=("${ACLIMDB_URL:-https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz}" "$ACLIMDB_MD5")
# Stanford states no checksum. The first is the one that torchtext and Embeddings.jl publish for Stanford's archive;
# the mirror's archive is another file, and its SHA-256 is the name under which Git LFS keeps it there.
GLOVE_SHA256=${GLOVE_SHA256:-617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb}
GLOVE_SOURCES=("${GLOVE_URL:-https://nlp.stanford.edu/data/glove.6B.zip}" "$GLOVE_SHA256")
if [ -z "${GLOVE_URL:-}" ]; then
    GLOVE_SOURCES+=(https://huggingface.co/stanfordnlp/glove/resolve/main/glove.6B.zip
        6471382cdd837544bf3ac72497a38715e845897d265b2b424b4761832009c837)
fi
GLOVE_FILES="glove.6B.50d.txt glove.6B.100d.txt glove.6B.200d.txt glove.6B.300d.txt"

usage() {
    cat <<END
Usage: bash $(basename "$0") DEST [aclimdb|glove|all]

Writes DEST/aclImdb (84 MB to download, about 100,000 small files) and DEST/glove (862 MB, 2.2 GB unpacked).
An interrupted download continues when the command is run again; what is there already is left alone.

By hand: put these files into DEST, then run the command; it checks and unpacks them without a network.
  aclImdb_v1.tar.gz  ${ACLIMDB_SOURCES[0]}
  glove.6B.zip       ${GLOVE_SOURCES[0]}
                     ${GLOVE_SOURCES[2]:-}

Variables:
  ACLIMDB_URL, ACLIMDB_MD5     another source of aclImdb_v1.tar.gz and its checksum
  GLOVE_URL, GLOVE_SHA256      another source of glove.6B.zip and its checksum
END
}

fail() { # EXIT_CODE MESSAGE
    printf 'error: %s\n' "$2" >&2
    exit "$1"
}

checksum() { # md5|sha256 FILE
    case $1 in
        md5) if command -v md5sum >/dev/null; then md5sum; else md5 -q; fi ;;
        sha256) if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi ;;
    esac <"$2" | cut -d ' ' -f 1
}

transfer() { # URL FILE: continues FILE where it ends
    local code=0 status=''
    if command -v curl >/dev/null; then
        local progress=-sS
        if [ -t 2 ]; then progress=--progress-bar; fi
        local options=(-fL "$progress" --retry 3 --connect-timeout 30 --speed-limit 1000 --speed-time 60 -C -)
        status=$(curl "${options[@]}" -w '%{http_code}' -o "$2" "$1") || code=$?
        if [ "$code" -eq 33 ] || [ "$status" = 416 ]; then # the server cannot continue this file
            rm -f -- "$2"
            code=0
            curl "${options[@]}" -o "$2" "$1" || code=$?
        fi
    elif command -v wget >/dev/null; then
        wget -nv -c --tries=3 --timeout=30 -O "$2" "$1" || code=$?
    else
        echo 'error: curl or wget is needed to download' >&2
        code=1
    fi
    return "$code"
}

fetch() { # md5|sha256 FILE [URL CHECKSUM]...: leaves FILE complete and checked, or ends the script
    local kind=$1 file=$2 tried='' found host part
    shift 2
    if [ -f "$file" ]; then
        echo "checking $file"
        found=$(checksum "$kind" "$file")
        case " $* " in *" $found "*) return ;; esac
        fail 2 "$file: wrong $kind checksum $found, the file is damaged; delete it and run this again"
    fi
    while [ $# -gt 0 ]; do
        host=${1#*://}
        host=${host%%/*}
        part=$file.${host:-local}.part # one for each source, because their archives need not be the same
        echo "downloading $1"
        if [ -f "$part" ] && [ "$(checksum "$kind" "$part")" = "$2" ]; then
            mv -- "$part" "$file"
            return
        elif transfer "$1" "$part"; then
            found=$(checksum "$kind" "$part")
            if [ "$found" = "$2" ]; then
                mv -- "$part" "$file"
                return
            fi
            rm -f -- "$part"
            echo "warning: $1: wrong $kind checksum $found, expected $2; the download was deleted" >&2
        else
            [ -s "$part" ] || rm -f -- "$part"
            echo "warning: $1: download failed" >&2
        fi
        tried="$tried${tried:+ or }$1"
        shift 2
    done
    fail 1 "no download of $(basename "$file"): run this again to continue, or get $tried by hand, put it there as $file \
and run this again"
}

WORK=''
trap '[ -z "$WORK" ] || rm -rf -- "$WORK"' EXIT

get_aclimdb() { # DEST
    local archive=$1/aclImdb_v1.tar.gz
    if [ -d "$1/aclImdb" ]; then
        echo "$1/aclImdb is there already"
        return
    fi
    fetch md5 "$archive" "${ACLIMDB_SOURCES[@]}"
    echo "unpacking $archive"
    WORK=$(mktemp -d "$1/.unpack.XXXXXX") # nothing half unpacked is ever taken for the corpus
    tar -xzf "$archive" -C "$WORK" --no-same-owner
    [ -d "$WORK/aclImdb/train/pos" ] || fail 2 "$archive: holds no aclImdb/train/pos"
    mv -- "$WORK/aclImdb" "$1/aclImdb"
    rm -rf -- "$WORK"
    echo "$1/aclImdb is ready, for --aclimdb_path; $archive can be deleted"
}

get_glove() { # DEST
    local archive=$1/glove.6B.zip name missing=''
    for name in $GLOVE_FILES; do
        [ -f "$1/glove/$name" ] || missing=$name
    done
    if [ -z "$missing" ]; then
        echo "$1/glove is there already"
        return
    fi
    fetch sha256 "$archive" "${GLOVE_SOURCES[@]}"
    echo "unpacking $archive"
    WORK=$(mktemp -d "$1/.unpack.XXXXXX")
    if command -v unzip >/dev/null; then
        unzip -q "$archive" -d "$WORK"
    else
        python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$WORK"
    fi
    mkdir -p -- "$1/glove"
    for name in $GLOVE_FILES; do
        [ -f "$WORK/$name" ] || fail 2 "$archive: holds no $name"
        mv -- "$WORK/$name" "$1/glove/$name"
    done
    rm -rf -- "$WORK"
    echo "$1/glove is ready, for --glove_path; $archive can be deleted"
}

if [ $# -eq 0 ]; then
    usage >&2
    exit 2
fi
case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    -*) fail 2 "unknown option $1; run it without arguments to see the usage" ;;
esac
[ $# -le 2 ] || fail 2 "too many arguments: $*; run it without arguments to see the usage"
case ${2:-all} in
    aclimdb | glove | all) mkdir -p -- "$1" ;;
    *) fail 2 "unknown data '$2'; choose aclimdb, glove or all" ;;
esac
if [ "${2:-all}" != glove ]; then get_aclimdb "$1"; fi
if [ "${2:-all}" != aclimdb ]; then get_glove "$1"; fi
