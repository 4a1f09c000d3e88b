#!/usr/bin/env bash
# Measures training on the CPU: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_performance CPU "[DEVICE_ID] DATA_DIR" "$@"
