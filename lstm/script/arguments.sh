# What the run_*.sh scripts take after DEVICE_ID or WORKERS, in the words of common.sh, which reads this file.
TRAIN_ARGUMENTS="ACLIMDB_DIR [GLOVE_DIR|FILE]"
EVAL_ARGUMENTS="ACLIMDB_DIR|PREPROCESS_DIR [GLOVE_DIR|FILE] CKPT"
PREPARED="train.py eval.py" # the programs with the option --preprocess_path
