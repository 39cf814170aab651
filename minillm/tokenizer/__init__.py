"""The room tokenizer of minillm."""
