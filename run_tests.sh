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

PYTHON=/path/to/python chooses the interpreter (3.9 to 3.12), VENV_DIR another place than .venv.
END
}

folders=()
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '' | -*) for tests in */tests/; do folders+=("${tests%/tests/}"); done ;;
    *)
        [ -d "$1/tests" ] || { echo "error: no folder $1/tests; run bash run_tests.sh --help" >&2; exit 2; }
        folders=("${1%/}")
        shift
        ;;
esac

where=(tests) # unless the arguments name test files themselves
for argument in "$@"; do
    case $argument in tests/*) where=() ;; esac
done

ensure_venv requirements.txt requirements-dev.txt || exit
export MPLBACKEND=Agg GLOG_v=3

report=$(mktemp) || exit
trap 'rm -f "$report"' EXIT
trap 'exit 130' INT
COUNT='
import sys
import xml.etree.ElementTree as tree

count = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
try:
    for suite in tree.parse(sys.argv[1]).iter("testsuite"):
        for name in count:
            count[name] += int(suite.get(name))
except tree.ParseError:  # pytest died before it could report
    pass
bad = count["failures"] + count["errors"]
print(count["tests"] - bad - count["skipped"], bad, count["skipped"])'
all_passed=0 all_failed=0
for folder in "${folders[@]}"; do
    echo "== $folder"
    : >"$report"
    (cd "$folder" && "$VENV_PYTHON" -m pytest --junitxml="$report" ${where[@]+"${where[@]}"} "$@")
    code=$?
    read -r passed failed skipped <<<"$("$VENV_PYTHON" -c "$COUNT" "$report")"
    # 5: nothing collected, which is right when the arguments select tests of other folders; anything else is a failure
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || [ "$failed" -gt 0 ] || failed=1
    echo "$folder: $passed passed, $failed failed, $skipped skipped"
    all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
done
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ] && [ "$all_passed" -gt 0 ]
