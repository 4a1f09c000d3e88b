#!/usr/bin/env bash
# Trains on an Ascend device, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_train Ascend "$@"
