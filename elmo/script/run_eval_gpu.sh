#!/usr/bin/env bash
# Evaluates a checkpoint on a GPU.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_eval GPU "$@"
