#!/usr/bin/env bash
# Evaluates a checkpoint on an Ascend device, from the corpus, or from the folder of features that a training has made of it.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
arguments="DEVICE_ID DATA_DIR CKPT"
for folder in "$@"; do
    [ ! -f "$folder/fingerprint.json" ] || arguments="DEVICE_ID PREPROCESS_DIR CKPT"
done
run_eval Ascend "$arguments" "$@"
