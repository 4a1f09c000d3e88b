#!/usr/bin/env bash
# Downloads, checks and unpacks the IMDB reviews and the GloVe vectors that this model is trained with.
. "$(dirname -- "${BASH_SOURCE[0]}")/download.sh"

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

get_aclimdb() { # DEST
    local archive=$1/aclImdb_v1.tar.gz
    if [ -d "$1/aclImdb" ]; then
        echo "$1/aclImdb is there already"
        return
    fi
    fetch md5 "$archive" "${ACLIMDB_SOURCES[@]}"
    unpack "$archive" "$1" aclImdb/train/pos
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
    unpack "$archive" "$1" glove.6B.300d.txt
    mkdir -p -- "$1/glove"
    for name in $GLOVE_FILES; do
        mv -- "$WORK/$name" "$1/glove/$name"
    done
    rm -rf -- "$WORK"
    echo "$1/glove is ready, for --glove_path; $archive can be deleted"
}

read_arguments 2 "$@"
case ${2:-all} in
    aclimdb | glove | all) mkdir -p -- "$1" ;;
    *) fail 2 "unknown data '$2'; choose aclimdb, glove or all" ;;
esac
if [ "${2:-all}" != glove ]; then get_aclimdb "$1"; fi
if [ "${2:-all}" != aclimdb ]; then get_glove "$1"; fi
