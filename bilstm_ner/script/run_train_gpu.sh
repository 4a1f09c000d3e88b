#!/usr/bin/env bash
# Trains on a GPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_train GPU "DEVICE_ID DATA_DIR" "$@"
