#!/usr/bin/env bash
# Measures training on a GPU: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance GPU "$@"
