"""From text to batches: tokens, vocabulary, character ids, shards of MindRecord, unrolled batches."""
