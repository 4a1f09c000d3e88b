#!/usr/bin/env bash
# Trains data-parallel on several processes, on one machine or several: run_distribute_train_*.sh with the device as an argument.
set -euo pipefail
case ${1:-} in
    Ascend | GPU | CPU) device=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]') ;;
    -h | --help | '')
        printf 'Usage: bash %s {Ascend|GPU|CPU} WORKERS PREPROCESS_DIR [-- OPTION...]\n' "$(basename "$0")"
        [ $# -gt 0 ] || exit 2
        exit 0
        ;;
    *)
        printf "error: unknown device '%s'; choose Ascend, GPU or CPU\n" "$1" >&2
        exit 2
        ;;
esac
shift
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/run_distribute_train_$device.sh" "$@"
