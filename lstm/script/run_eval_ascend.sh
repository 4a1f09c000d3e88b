#!/usr/bin/env bash
# Evaluates a checkpoint on an Ascend device, from prepared data or from the corpus, which has test/pos.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
arguments="DEVICE_ID PREPROCESS_DIR CKPT"
[ ! -d "${2:-}/test/pos" ] || arguments="DEVICE_ID ACLIMDB_DIR CKPT"
run_eval Ascend "$arguments" "$@"
