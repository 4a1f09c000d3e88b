# Sourced by quickstart.sh, run_tests.sh and .ci/run: finds a Python and keeps .venv in step with the requirement files.
#
#   ensure_venv requirements.txt ...   makes or reuses the environment of VENV_PYTHON; returns 2 if it cannot
#
# PYTHON chooses the interpreter, VENV_DIR another place than .venv for the environment.

REPOSITORY=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
NEEDED_GIB=4 # the packages take 3.0 GiB, and pip unpacks beside them
NEEDED_TEXT="about 1 GB to download, 3 GiB on the disk"
VENV_DIR=${VENV_DIR:-$REPOSITORY/.venv}
case $VENV_DIR in /*) ;; *) VENV_DIR=$PWD/$VENV_DIR ;; esac
case ${PYTHON:-} in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac # a path, seen from where the user stands
VENV_PYTHON=$VENV_DIR/bin/python

complain() {
    printf 'error: %s\n' "$*" >&2
    return 2
}

# Prints major.minor of an interpreter that runs and is in range. A command may exist and still fail (pyenv shims).
supported_version() {
    "$1" -c 'import sys
v = sys.version_info[:2]
print("%d.%d" % v)
sys.exit(not (3, 9) <= v <= (3, 12))' 2>/dev/null
}

# Sets BASE_PYTHON and BASE_VERSION.
find_python() {
    local candidates=(python3.11 python3.12 python3.10 python3.9 python3) candidate
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if BASE_VERSION=$(supported_version "$candidate"); then
            BASE_PYTHON=$candidate
            return 0
        fi
    done
    [ -z "${PYTHON:-}" ] || complain "PYTHON=$PYTHON ${BASE_VERSION:+is Python $BASE_VERSION and }cannot be used: Python 3.9 to 3.12 is needed" || return
    complain "no Python 3.9 to 3.12 found (tried ${candidates[*]}): install one, or name it: PYTHON=/path/to/python bash $0"
}

# Makes the environment unless it is there; one of another version than an explicit PYTHON is made again.
make_venv() {
    local version free
    if version=$(supported_version "$VENV_PYTHON"); then
        [ -n "${PYTHON:-}" ] || return 0
        find_python || return
        [ "$version" != "$BASE_VERSION" ] || return 0
    else
        find_python || return
    fi
    if [ -d "$VENV_DIR" ] && [ ! -f "$VENV_DIR/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV_DIR")" ]; then
        complain "$VENV_DIR is there but is no virtual environment: move it away, or choose another place with VENV_DIR" || return
    fi
    "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        complain "$BASE_PYTHON has no venv module: install it (Debian, Ubuntu: apt install python$BASE_VERSION-venv)" || return
    free=$(df -Pk "$(dirname "$VENV_DIR")" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "${free:-0}" -ge "$NEEDED_GIB" ] ||
        complain "$VENV_DIR needs $NEEDED_GIB GiB, ${free:-0} GiB are free there: free some, or choose another disk with VENV_DIR" || return
    echo "making $VENV_DIR with Python $BASE_VERSION"
    "$BASE_PYTHON" -m venv --clear "$VENV_DIR" || complain "$BASE_PYTHON -m venv failed, see above"
}

# Turns pip's log into one sentence.
explain_pip() {
    if grep -qi 'No space left on device' "$1"; then
        complain "the disk is full: $VENV_DIR needs $NEEDED_GIB GiB; pip's log is $1"
    elif grep -qiE 'Failed to establish a new connection|name resolution|NameResolutionError|Max retries|timed out|ProxyError|SSLError|Connection broken' "$1"; then
        complain "the package index cannot be reached: check network and proxy, or name a mirror with PIP_INDEX_URL; pip's log is $1"
    elif grep -qi 'No matching distribution' "$1"; then
        complain "no package for this Python and machine:$(sed -n 's/.*No matching distribution found for//p' "$1" | head -1); pip's log is $1"
    else
        complain "pip could not install the packages; its last line: $(grep . "$1" | tail -1); its log is $1"
    fi
}

# Shows on a terminal, each second as long as this shell lives, how long pip has run and the beginning of its last line.
watch_pip() { # LOG
    local start=$SECONDS
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        printf '\r\033[K%4d s  %.60s' $((SECONDS - start)) "$(tail -n 1 "$1" | cut -d ' ' -f 1-4)"
    done
}

ensure_venv() {
    make_venv || return
    local file sum stamp watcher= code=0
    for file in "$@"; do
        # requirements.txt only names the files of the model folders, so their text counts as well
        sum=$(cd "$REPOSITORY" && cat "$file" ./*/requirements.txt | cksum)
        stamp=$VENV_DIR/.installed-$file
        [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || continue
        echo "installing $file into $VENV_DIR (the first time $NEEDED_TEXT; some minutes)"
        : >"$VENV_DIR/pip.log"
        [ ! -t 1 ] || { watch_pip "$VENV_DIR/pip.log" & watcher=$!; }
        (cd "$REPOSITORY" && "$VENV_PYTHON" -m pip install --disable-pip-version-check -r "$file") \
            >"$VENV_DIR/pip.log" 2>&1 </dev/null || code=$?
        [ -z "$watcher" ] || { kill "$watcher" && wait "$watcher"; printf '\r\033[K'; } 2>/dev/null
        [ "$code" -eq 0 ] || explain_pip "$VENV_DIR/pip.log" || return
        printf '%s\n' "$sum" >"$stamp"
    done
}
