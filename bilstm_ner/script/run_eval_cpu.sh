#!/usr/bin/env bash
# Evaluates a checkpoint on the CPU.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_eval CPU "$@"
