#!/usr/bin/env bash
# Measures training on an Ascend device: pairs (samples) and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance Ascend "DEVICE_ID DATA_DIR" "$@"
