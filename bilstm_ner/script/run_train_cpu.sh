#!/usr/bin/env bash
# Trains on the CPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_train CPU "[DEVICE_ID] DATA_DIR" "$@"
