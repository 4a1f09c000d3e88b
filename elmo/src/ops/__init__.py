"""Operations that MindSpore lacks."""
