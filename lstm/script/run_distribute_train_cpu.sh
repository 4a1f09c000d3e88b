#!/usr/bin/env bash
# Trains data-parallel on several processes, on one machine or several, device CPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_distribute_train CPU "$@"
