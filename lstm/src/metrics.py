"""Scores of a binary or multi-class classifier from its logits."""

from __future__ import annotations

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log probabilities of logits (N, C) in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def accuracy_and_loss(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the share of right answers and the mean cross entropy (nats) of logits (N, C)."""
    right = logits.argmax(1) == labels
    return float(right.mean()), float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scores (N,) for labels 0 or 1: the Mann-Whitney statistic, ties counting half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def classification_report(logits: np.ndarray, labels: np.ndarray) -> dict:
    """Return accuracy, loss, precision, recall and F1 of the positive class, ROC AUC and the confusion matrix.

    Row r, column c of the confusion matrix counts the reviews of class r that were called c.
    """
    accuracy, loss = accuracy_and_loss(logits, labels)
    confusion = np.zeros((logits.shape[1],) * 2, int)
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    true_positives = confusion[1, 1]
    precision = true_positives / max(1, confusion[:, 1].sum())
    recall = true_positives / max(1, confusion[1].sum())
    return {
        "reviews": len(labels),
        "accuracy": accuracy,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / max(1e-12, precision + recall)),
        "roc_auc": roc_auc(log_softmax(logits)[:, 1], labels),
        "loss": loss,
        "confusion_matrix": confusion.tolist(),
    }
