#!/usr/bin/env bash
# Measures training on the CPU: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance CPU "$@"
