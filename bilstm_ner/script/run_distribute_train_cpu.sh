#!/usr/bin/env bash
# Trains data-parallel on several processes of one machine, device CPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
PREPROCESSING=no # the corpus is read as it is
run_distribute_train CPU "WORKERS DATA_DIR" "$@"
