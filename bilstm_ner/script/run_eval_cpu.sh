#!/usr/bin/env bash
# Evaluates a checkpoint on the CPU.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_eval CPU "[DEVICE_ID] DATA_DIR|FILE CKPT" "$@"
