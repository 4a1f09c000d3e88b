"""Code that every model folder shares, byte for byte; `tools/sync_common.py` keeps the copies identical."""
