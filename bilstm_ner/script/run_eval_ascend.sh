#!/usr/bin/env bash
# Evaluates a checkpoint on an Ascend device.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_eval Ascend "DEVICE_ID DATA_DIR|FILE CKPT" "$@"
