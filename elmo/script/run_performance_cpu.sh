#!/usr/bin/env bash
# Measures training on the CPU: rows of text (samples) and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance CPU "[DEVICE_ID] PREPROCESS_DIR" "$@"
