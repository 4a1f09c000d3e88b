#!/usr/bin/env bash
# Trains on the CPU, in the background.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_train CPU "$@"
