#!/usr/bin/env bash
# Measures training on a GPU: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_performance GPU "DEVICE_ID DATA_DIR" "$@"
