#!/usr/bin/env bash
# Measures training on an Ascend device: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_performance Ascend "DEVICE_ID DATA_DIR" "$@"
