#!/usr/bin/env bash
# Trains data-parallel on several processes of one machine, device GPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_distribute_train GPU "$@"
