# Sourced by the download_dataset.sh scripts beside it: reads their arguments, gets files and checks them.
set -euo pipefail

fail() { # EXIT_CODE MESSAGE
    printf 'error: %s\n' "$2" >&2
    exit "$1"
}

read_arguments() { # MOST "$@": ends the script where they ask for its usage, or are none or more than MOST
    case ${2:-} in
        -h | --help)
            usage
            exit 0
            ;;
        '')
            usage >&2
            exit 2
            ;;
        -*) fail 2 "unknown option $2; run it without arguments to see the usage" ;;
    esac
    [ $# -le $(($1 + 1)) ] || fail 2 "too many arguments: ${*:2}; run it without arguments to see the usage"
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
        local bar=()
        if [ -t 2 ]; then bar=(--show-progress); fi
        wget -nv ${bar[@]+"${bar[@]}"} -c --tries=3 --timeout=30 -O "$2" "$1" || code=$?
    else
        echo 'error: curl or wget is needed to download' >&2
        code=1
    fi
    return "$code"
}

fetch() { # md5|sha256 FILE [URL CHECKSUM]...: leaves FILE complete and checked, or ends the script; a checksum any fits
    local kind=$1 file=$2 tried='' found host part
    shift 2
    if [ -f "$file" ]; then
        echo "checking $file"
        found=$(checksum "$kind" "$file")
        case " $* " in *" $found "* | *" any "*) return ;; esac
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
            if [ "$2" = any ] || [ "$found" = "$2" ]; then
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

unpack() { # ARCHIVE DEST WANTED: sets WORK, a folder in DEST with what the archive holds, which must include WANTED
    echo "unpacking $1"
    WORK=$(mktemp -d "$2/.unpack.XXXXXX") # nothing half unpacked is ever taken for the corpus
    trap 'rm -rf -- "$WORK"' EXIT
    case $1 in
        *.tar.gz) tar -xzf "$1" -C "$WORK" --no-same-owner ;;
        *) if command -v unzip >/dev/null; then unzip -q "$1" -d "$WORK"; else python3 -m zipfile -e "$1" "$WORK"; fi ;;
    esac
    [ -e "$WORK/$3" ] || fail 2 "$1: holds no $3"
}
