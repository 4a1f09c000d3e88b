#!/usr/bin/env bash
# Trains on a GPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_train GPU "$@"
