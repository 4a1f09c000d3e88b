#!/usr/bin/env bash
# Measures training on an Ascend device: samples and tokens per second.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
run_performance Ascend "$@"
