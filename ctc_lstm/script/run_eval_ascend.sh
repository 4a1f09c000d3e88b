#!/usr/bin/env bash
# Evaluates a checkpoint on an Ascend device.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_eval Ascend "$@"
