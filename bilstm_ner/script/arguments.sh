# What the run_*.sh scripts take after DEVICE_ID or WORKERS, in the words of common.sh, which reads this file.
TRAIN_ARGUMENTS="DATA_DIR"
EVAL_ARGUMENTS="DATA_DIR|FILE CKPT"
PREPARED="train.py" # the programs with the option --preprocess_path
