#!/usr/bin/env bash
# Makes .venv where needed and runs every test; bash run_tests.sh --help says how.
[ -n "${BASH_VERSION:-}" ] || { echo "error: this needs bash: bash run_tests.sh" >&2; exit 2; }
set -uo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/tools/venv.sh" || exit 2
cd -- "$REPOSITORY" || exit 2

usage() {
    cat <<'END'
Usage: bash run_tests.sh [FOLDER [PYTEST_ARGUMENT...]]

Makes .venv and installs the requirements unless that is done, then tests each folder that has tests/,
or FOLDER alone: bash run_tests.sh lstm -k name

Without FOLDER every model is copied alone into an empty folder, where its tests and its README's quick start run,
and folders are tested side by side, one on each core; JOBS=1 tests one after the other.

PYTHON=/path/to/python chooses the interpreter (3.9 to 3.12), VENV_DIR another place than .venv.
END
}

folders=() alone=yes
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '' | -*)
        # those with the most tests begin first, so that no long one is left for the end
        folders=($(du -sk */tests | sort -rn | cut -f 2))
        folders=("${folders[@]%/tests}")
        ;;
    *)
        [ -d "$1/tests" ] || { echo "error: no folder $1/tests; run bash run_tests.sh --help" >&2; exit 2; }
        folders=("${1%/}") alone=
        shift
        ;;
esac

cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
jobs=${JOBS:-$((cores < 4 ? cores : 4))} # no more: a folder takes up to 2 GiB of memory

ensure_venv requirements.txt requirements-dev.txt || exit
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
export MPLBACKEND=Agg GLOG_v=3

COUNT='
import sys
import xml.etree.ElementTree as tree

try:
    suite = next(tree.parse(sys.argv[1]).iter("testsuite"))
    tests, failures, errors, skipped = (int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))
except (OSError, tree.ParseError):  # pytest died before it could report
    tests = failures = errors = skipped = 0
print(tests - failures - errors - skipped, failures + errors, skipped)'

# The quick start of a README without the lines that make an environment; stops at the first command that fails.
quick_start() {
    echo "-- quick start of $2"
    sed -n '/^```bash$/,/^```$/p' "$1/README.md" | sed -e 1d -e '/^```$/,$d' -e '/venv/d' -e '/^pip install/d' \
        >"$1/quick_start.sh"
    [ "$(wc -l <"$1/quick_start.sh")" -ge 3 ] || { echo "$2/README.md: no quick start found" >&2; return 1; }
    (cd "$1" && PATH="$(dirname "$VENV_PYTHON"):$PATH" bash -eo pipefail quick_start.sh >quick_start.log 2>&1) && return
    tail -n 30 "$1/quick_start.log" >&2
    return 1
}

# test_folder FOLDER PYTEST_ARGUMENT...: its last line has the numbers, as has the file FOLDER.count.
test_folder() {
    local folder=$1 place=$1 where=(tests) argument code passed failed skipped
    shift
    for argument in "$@"; do
        case $argument in tests/*) where=() ;; esac # the arguments name test files themselves
    done
    echo "== $folder"
    if [ "$alone" ] && [ -f "$folder/train.py" ]; then
        place=$work/$folder
        # without what was trained or prepared there; a copy that is no git checkout has nothing to leave out
        { git ls-files -z -co --exclude-standard "$folder" 2>/dev/null || find "$folder" -type f -print0; } |
            tar -cf - --null -T - | tar -xf - -C "$work" || return
    fi
    (cd "$place" && "$VENV_PYTHON" -m pytest --junitxml="$work/$folder.xml" ${where[@]+"${where[@]}"} "$@")
    code=$?
    read -r passed failed skipped <<<"$("$VENV_PYTHON" -c "$COUNT" "$work/$folder.xml")"
    # 5: nothing collected, which is right when the arguments select tests of other folders; anything else is a failure
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || [ "$failed" -gt 0 ] || failed=1
    if [ "$place" != "$folder" ] && [ $# -eq 0 ]; then
        if quick_start "$place" "$folder"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        rm -rf "$place"
    fi
    echo "$folder: $passed passed, $failed failed, $skipped skipped"
    echo "$passed $failed" >"$work/$folder.count"
}

# Tests the folders side by side; shows what a folder has printed when its tests have ended.
test_side_by_side() {
    export alone work VENV_PYTHON COUNT NATIVE_THREADS=${NATIVE_THREADS:-$((cores / jobs))}
    export -f test_folder quick_start
    printf '%s\n' "${folders[@]}" | xargs -P "$jobs" -I @FOLDER@ bash -uo pipefail -c '
        trap "exit 130" INT
        echo "begins $1"
        test_folder "$@" >"$work/$1.log" 2>&1
        echo "ended $1"' bash @FOLDER@ "$@" | {
        trap '' INT # the folders leave first
        while read -r what folder; do
            if [ "$what" = begins ]; then echo "-- $folder begins"; else cat "$work/$folder.log"; fi
        done
    }
}

if [ ${#folders[@]} -eq 1 ]; then test_folder "${folders[0]}" "$@"; else test_side_by_side "$@"; fi

all_passed=0 all_failed=0
for folder in "${folders[@]}"; do
    read -r passed failed 2>/dev/null <"$work/$folder.count" || {
        passed=0 failed=1 # killed, or never begun
        echo "$folder: ended before its tests were counted"
    }
    all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
done
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ] && [ "$all_passed" -gt 0 ]
