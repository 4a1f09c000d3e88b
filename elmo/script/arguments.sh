# What the run_*.sh scripts take after DEVICE_ID or WORKERS, in the words of common.sh, which reads this file.
TRAIN_ARGUMENTS="PREPROCESS_DIR"
EVAL_ARGUMENTS="PREPROCESS_DIR CKPT"
PREPARED="train.py eval.py" # the programs with the option --preprocess_path
