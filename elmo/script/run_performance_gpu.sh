#!/usr/bin/env bash
# Measures training on a GPU: rows of text (samples) and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance GPU "DEVICE_ID PREPROCESS_DIR" "$@"
