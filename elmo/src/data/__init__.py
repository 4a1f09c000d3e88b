"""From text to shards of MindRecord: words, sentences and documents, vocabulary, character ids."""
