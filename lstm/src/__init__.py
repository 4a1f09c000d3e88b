"""Sentiment classification of IMDB reviews with variable-length LSTMs."""
