"""Code that every model folder shares, byte for byte; `tools/sync_model_utils.py` keeps the copies identical."""
