#!/usr/bin/env bash
# Opens a page in the browser that tries the trained models; bash demo/demo.sh --help says how.
[ -n "${BASH_VERSION:-}" ] || { echo "error: this needs bash: bash demo/demo.sh" >&2; exit 2; }
set -uo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../tools/venv.sh" || exit 2
for argument in "$@"; do
    case $argument in
        -h | --help) find_python && exec "$BASE_PYTHON" "$REPOSITORY/demo/demo.py" --help; exit 2 ;;
    esac
done
ensure_venv requirements.txt || exit
exec "$VENV_PYTHON" "$REPOSITORY/demo/demo.py" "$@"
