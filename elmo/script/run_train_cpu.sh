#!/usr/bin/env bash
# Trains on the CPU, in the background, on the converted text of convert_dataset.sh.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_train CPU "[DEVICE_ID] PREPROCESS_DIR" "$@"
