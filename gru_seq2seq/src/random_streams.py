"""The numbers that keep the random streams of one seed apart. They never change: with them, every result would.

Weights and dropout masks of a part of the network are drawn from [seed, its number], those of its layer k from
[seed, its number + k]; the order of an epoch from [seed, epoch], the segmentations of a step from [seed, epoch, step].
"""

SOURCE_EMBEDDING = 0
TARGET_EMBEDDING = 1
OUTPUT_EMBEDDING = 2
ENCODER = 10
DECODER = 20
BRIDGE = 30
ATTENTION = 40
JOINT = 50
SOURCE_DROPOUT = 100
TARGET_DROPOUT = 200
JOINT_DROPOUT = 300
