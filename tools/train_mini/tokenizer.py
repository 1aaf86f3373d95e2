"""The tokenizer: a small byte-level BPE in CLIP's file format, trained on the prompts of `prompts.py`."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from tools.train_mini.prompts import corpus

__all__ = ["MAX_LENGTH", "train_tokenizer"]

MAX_LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(folder: Path, vocab_size: int = 2048) -> CLIPTokenizer:
    """Train the BPE and write it to `folder` for `CLIPTokenizer.from_pretrained(folder)`."""
    special = {"unk_token": END, "bos_token": START, "eos_token": END, "pad_token": END}
    clip = CLIPTokenizer(**special).backend_tokenizer
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = clip.normalizer
    bpe.pre_tokenizer = clip.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(), trainer)
    learnt = json.loads(bpe.to_str())["model"]["merges"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in learnt]
    symbols = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    symbols += [first + second for first, second in merges]
    vocab = {symbol: index for index, symbol in enumerate(dict.fromkeys([*symbols, START, END]))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n")
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH, **special)
    tokenizer.save_pretrained(folder)
    return tokenizer
