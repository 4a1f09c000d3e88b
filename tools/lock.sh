#!/usr/bin/env bash
# Renews requirements-lock.txt, the newest packages that the requirement files allow, with their checksums, for every
# supported Python and every system: bash tools/lock.sh
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$REPOSITORY"
find_python
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
"$BASE_PYTHON" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv
"$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.9 --no-python-downloads --generate-hashes \
    --no-annotate --custom-compile-command "bash tools/lock.sh" requirements.txt --output-file "$work/lock.txt"
mv -- "$work/lock.txt" requirements-lock.txt
