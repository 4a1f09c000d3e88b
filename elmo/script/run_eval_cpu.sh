#!/usr/bin/env bash
# Evaluates a checkpoint on the CPU, on the held-out part of the converted text.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_eval CPU "[DEVICE_ID] PREPROCESS_DIR CKPT" "$@"
