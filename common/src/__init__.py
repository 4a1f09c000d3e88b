"""The originals of what the model folders share; tools/sync_common.py copies them."""
