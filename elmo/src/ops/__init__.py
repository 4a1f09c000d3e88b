"""Operations that MindSpore lacks, or has only in a slower form."""
