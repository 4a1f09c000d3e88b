#!/usr/bin/env bash
# Trains on an Ascend device, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_train Ascend "DEVICE_ID DATA_DIR" "$@"
