#!/usr/bin/env bash
# Measures training on a GPU: pairs (samples) and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance GPU "DEVICE_ID DATA_DIR" "$@"
