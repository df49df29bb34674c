"""A model's directory in Hugging Face layout with a manifest: made once for each model, and written for each checkpoint."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import safe_open
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from ray_study import assets
from ray_study.config import Model, Scratch
from ray_study.hub import download
from ray_study.manifests import CANARY_TEXT, MANIFEST, Canary, Manifest, hash_files, read_manifest, write_manifest
from ray_study.models import BYTE_VOCABULARY
from ray_study.prepared import files_of, place, prepared

logger = logging.getLogger(__name__)

DTYPES: dict[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHARD_SIZE = "5GB"
"""Of one file of weights at most; a larger model is split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Which weights a directory holds, for its manifest."""

    run: str
    """`Run.id`, or the model's name for step 0."""
    step: int
    num_tokens: int
    settings: Mapping[str, object]
    """Facts of the run, for people."""


def prepare(model: Model, name: str, cache: Path, *, progress: Callable[[str], None] = logger.info) -> Path:
    """The local directory of a model as it comes: step 0 of its runs, in the model's dtype, with tokenizer and manifest.

    It is made once and kept in `cache`; other processes that want the same wait. A `path` with a manifest is used where it lies.

    Raises:
        ValueError: the model is not there, is gated, or is none; the sentence says what to do.
    """
    found = prepared(model, name, cache)
    if found is not None:
        return found
    directory = place(model, name, cache)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.with_suffix(".lock")):
        if not (directory / MANIFEST).is_file():
            transformers_logging.disable_progress_bar()
            progress(f"model {name}: preparing {_source(model)}")
            snapshot = download(model.hub, model.revision) if model.hub is not None else None
            loaded, tokenizer = _load(model, snapshot)
            settings = model.model_dump(mode="json", exclude={"pretrain", "max_model_len"}, exclude_none=True)
            if snapshot is not None:
                # A branch moves; the Hub's client keeps a commit's files in a directory of its name.
                settings["commit"] = Path(snapshot).name
            save(loaded, tokenizer, directory, Stamp(run=name, step=0, num_tokens=0, settings=settings))
    return directory


def snapshot(model: Model) -> Path:
    """The directory of a model that is no language model, such as a reward model: a local path, or the Hub's files on this machine.

    Raises:
        ValueError: it is not there, is gated, or comes from elsewhere.
    """
    if model.hub is not None:
        return Path(download(model.hub, model.revision))
    if model.path is None:
        raise ValueError("a reward model comes from `hub` or `path`: assets and random weights are language models")
    files_of(Path(model.path))
    return Path(model.path)


def save(model: Any, tokenizer: Any, directory: Path, stamp: Stamp) -> Manifest:
    """The manifest of the checkpoint directory that was written: it appears whole or not at all.

    Args:
        model: a transformers model with all its weights, in the dtype in which it is to be saved and served.
        tokenizer: its tokenizer.
        directory: where; replaced if it is there.
        stamp: which weights these are.
    """
    model.generation_config = _generation_config(model, tokenizer)

    def fill(temporary: Path) -> None:
        model.save_pretrained(temporary, max_shard_size=SHARD_SIZE)
        tokenizer.save_pretrained(temporary)

    return _write(fill, model, canary_ids(model, tokenizer), directory, stamp)


def save_step(model: Any, base: Path, directory: Path, stamp: Stamp, may_appear: Callable[[], None] | None = None) -> Manifest:
    """The manifest of a trained step's checkpoint: its own weights, and every other file byte for byte as the base has it.

    So all checkpoints of a run have the serving identity of their base, whatever the installed libraries would write today.
    `may_appear` is asked when everything is written, and raises where the checkpoint must not appear any more.
    """
    like = read_manifest(base)

    def fill(temporary: Path) -> None:
        model.save_pretrained(temporary, max_shard_size=SHARD_SIZE)
        for name in like.files:
            if not name.endswith((".safetensors", ".safetensors.index.json")):
                shutil.copyfile(base / name, temporary / name)

    return _write(fill, model, like.canary.ids, directory, stamp, may_appear)


def _write(
    fill: Callable[[Path], None],
    model: Any,
    ids: Sequence[int],
    directory: Path,
    stamp: Stamp,
    may_appear: Callable[[], None] | None = None,
) -> Manifest:
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        temporary.chmod(0o755)  # What mkdtemp makes is its owner's alone, and a server may run as another user.
        fill(temporary)
        manifest = _manifest(temporary, model, canary(model, ids), stamp)
        write_manifest(temporary, manifest)
        _sync(temporary)
        if may_appear is not None:
            may_appear()
        shutil.rmtree(directory, ignore_errors=True)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def bit_sum(tensors: Mapping[str, torch.Tensor]) -> int:
    """The sum of all elements' bits read as unsigned integers, modulo 2**64 (see `Manifest.bit_sum`)."""
    return sum(_bits(tensor) for tensor in tensors.values()) % 2**64


def canary_ids(model: Any, tokenizer: Any) -> list[int]:
    """The token ids of the canary text, as many as the model has positions for."""
    return list(tokenizer(CANARY_TEXT, add_special_tokens=False)["input_ids"][: int(model.config.max_position_embeddings)])


def canary(model: Any, ids: Sequence[int]) -> Canary:
    """The model's log-probability of each of the ids but the first, computed in the model's dtype."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits[0, :-1].float()
    model.train(was_training)
    targets = torch.tensor(list(ids[1:]), device=logits.device)
    logprobs = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
    return Canary(ids=tuple(ids), logprobs=tuple(logprobs.tolist()))


def scratch_model(scratch: Scratch) -> tuple[Any, Any]:
    """A Qwen3 with random weights from the settings' seed, in fp32, and its tokenizer of bytes."""
    tokenizer = byte_tokenizer()
    config = Qwen3Config(
        hidden_size=scratch.hidden_size,
        num_hidden_layers=scratch.num_layers,
        num_attention_heads=scratch.num_heads,
        num_key_value_heads=scratch.num_heads,
        head_dim=scratch.head_size,
        intermediate_size=scratch.intermediate_size,
        vocab_size=len(tokenizer),
        max_position_embeddings=scratch.positions,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scratch.seed)
        model = Qwen3ForCausalLM(config)
    return model, tokenizer


def byte_tokenizer() -> Any:
    """A tokenizer of bytes with a chat template: EOS is `<|im_end|>`; the thinking tags are tokens, but ordinary text to a decoder."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    ordinary = ["<think>", "</think>"]
    vocabulary = {token: index for index, token in enumerate([*special, *ordinary, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    assert len(vocabulary) == BYTE_VOCABULARY
    raw = Tokenizer(tokenizer_models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    raw.add_tokens([AddedToken(token, special=False, normalized=False) for token in ordinary])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = _CHATML
    return tokenizer


def _source(model: Model) -> str:
    if model.scratch is not None:
        return "random weights"
    return str(model.hub or model.path or model.asset)


def _load(model: Model, snapshot: str | None) -> tuple[Any, Any]:
    """The model in the dtype of its settings, and its tokenizer; one of the Hub from its snapshot on this machine."""
    dtype = DTYPES[model.dtype]
    if model.scratch is not None:
        loaded, tokenizer = scratch_model(model.scratch)
        return _rounded(loaded, dtype), tokenizer
    if model.asset is not None:
        return _from_gguf(model.asset, dtype)
    local = snapshot or str(model.path)
    trust = model.trust_remote_code
    loaded = AutoModelForCausalLM.from_pretrained(local, dtype=dtype, trust_remote_code=trust, local_files_only=True)
    return loaded, AutoTokenizer.from_pretrained(local, trust_remote_code=trust, local_files_only=True)


def _from_gguf(asset: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model and the tokenizer of an asset that holds one GGUF file, its quantised weights expanded to `dtype`."""
    found = [member for member in assets.members(asset) if member.endswith(".gguf")]
    if len(found) != 1:
        raise ValueError(f"asset {asset!r} holds {len(found)} GGUF files, expected one; choose an asset that is a model")
    with tempfile.TemporaryDirectory() as directory:
        name = Path(found[0]).name
        (Path(directory) / name).write_bytes(assets.read(asset, found[0]))
        tokenizer = AutoTokenizer.from_pretrained(directory, gguf_file=name)
        # Expanded in fp32 and rounded once.
        model = _rounded(AutoModelForCausalLM.from_pretrained(directory, gguf_file=name, dtype=torch.float32), dtype)
    # It is an ordinary model now; transformers refuses to save what it takes for a quantised one.
    model.hf_quantizer = None
    model.is_quantized = False
    for holder, attribute in ((model, "quantization_method"), (model.config, "quantization_config")):
        if hasattr(holder, attribute):
            delattr(holder, attribute)
    _mend_special_tokens(tokenizer)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _rounded(model: Any, dtype: torch.dtype) -> Any:
    """The model with its parameters in `dtype`; its buffers stay as they are, since rotary frequencies in bf16 are wrong ones."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    return model


def _mend_special_tokens(tokenizer: Any) -> None:
    """Sets EOS to the end of a turn and padding to the end of a text: some transformers read the first as `<|im_start|>`."""
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|endoftext|>"


def _generation_config(model: Any, tokenizer: Any) -> Any:
    """Nothing but token ids: how a model is sampled is said with every request."""
    ends: list[int] = []
    for source in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id):
        for value in source if isinstance(source, list) else [source]:
            if value is not None and value not in ends:
                ends.append(int(value))
    end_of_text = tokenizer.get_vocab().get("<|endoftext|>")
    if end_of_text is not None and end_of_text not in ends:
        ends.append(end_of_text)
    return GenerationConfig(bos_token_id=model.config.bos_token_id, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)


def _manifest(directory: Path, model: Any, scored: Canary, stamp: Stamp) -> Manifest:
    """What is in the directory, read back from its files."""
    shapes: dict[str, tuple[int, ...]] = {}
    total = 0
    for name, tensor in _tensors(directory):
        shapes[name] = tuple(tensor.shape)
        total = (total + _bits(tensor)) % 2**64
    return Manifest(
        run=stamp.run,
        step=stamp.step,
        num_tokens=stamp.num_tokens,
        dtype=str(model.dtype).removeprefix("torch."),
        files=hash_files(directory),
        tensors=shapes,
        bit_sum=total,
        canary=scored,
        settings=json.loads(json.dumps(dict(stamp.settings))),
    )


def _tensors(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_tensor(name)


_WORDS = {1: (torch.uint8, 0xFF), 2: (torch.int16, 0xFFFF), 4: (torch.int32, 0xFFFFFFFF)}
_PIECE = 1 << 24


def _bits(tensor: torch.Tensor) -> int:
    word, mask = _WORDS[tensor.element_size()]
    flat = tensor.detach().contiguous().view(-1).view(word)
    # In pieces: 64-bit copies of a whole embedding would be four times its size.
    total = 0
    for start in range(0, flat.numel(), _PIECE):
        total += int((flat[start : start + _PIECE].to(torch.int64) & mask).sum())
    return total % 2**64


def _sync(directory: Path) -> None:
    """Flushes the files to disk before the rename makes them a checkpoint."""
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
