#!/usr/bin/env bash
# Evaluates a checkpoint on the CPU.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_eval CPU "[DEVICE_ID] ACLIMDB_DIR [GLOVE_DIR|FILE] CKPT" "$@"
