#!/usr/bin/env bash
# Trains on an Ascend device, in the background, on the converted text of convert_dataset.sh.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_train Ascend "DEVICE_ID PREPROCESS_DIR" "$@"
