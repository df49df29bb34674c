from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Literal

import pytest

from ray_study.chat import Chat
from ray_study.model_files import byte_tokenizer
from ray_study.rows import Example
from ray_study.train.batches import IGNORED, Order, pack, pad
from ray_study.train.tokenizing import Row, count, tokenize


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    byte_tokenizer().save_pretrained(tmp_path)
    return Chat(tmp_path)


def _example(prompt: str, response: str) -> Example:
    return Example(problem_id="p", prompt=prompt, response=response, num_tokens=0)


def test_the_end_token_is_a_target_and_nothing_of_the_prompt_is(chat: Chat) -> None:
    (row,) = tokenize([_example("1+1?", "<think>so</think>2")], chat, max_length=100, over_long="drop").rows
    tensors = pad([row, Row(ids=row.ids[:-1], num_prompt=row.num_prompt)], [1.0, 1.0])
    prompt, response = chat.prompt("1+1?").ids, chat.response_ids("<think>so</think>2")
    labels = tensors["labels"][0].tolist()
    assert response[-1] == chat._eos_id
    # What is predicted after the last token but one is the end token, and after it nothing.
    assert labels[len(row.ids) - 2] == chat._eos_id
    assert labels[len(row.ids) - 1] == IGNORED
    # The last prompt token is asked for the first response token, and none before it is asked for anything.
    assert labels[len(prompt) - 1] == response[0]
    assert labels[: len(prompt) - 1] == [IGNORED] * (len(prompt) - 1)
    assert [label for label in labels if label != IGNORED] == list(response)
    assert row.num_targets == len(response)


def test_response_ids_follow_the_prompt_ids_that_evaluation_asks_with(chat: Chat) -> None:
    (row,) = tokenize([_example("What is 2 + 2?", "4")], chat, max_length=100, over_long="drop").rows
    assert row.ids == (*chat.prompt("What is 2 + 2?").ids, *chat.response_ids("4"))
    assert row.num_prompt == len(chat.prompt("What is 2 + 2?").ids)


def test_padding_is_neither_seen_nor_learnt(chat: Chat) -> None:
    rows = tokenize([_example("a", "b"), _example("a", "b" * 20)], chat, max_length=100, over_long="drop").rows
    tensors = pad(rows, [1.0, 1.0])
    short = len(rows[0].ids)
    assert tensors["attention_mask"][0].tolist() == [1] * short + [0] * (len(rows[1].ids) - short)
    assert tensors["labels"][0, short - 1 :].unique().tolist() == [IGNORED]


def test_over_long_rows_are_dropped_and_counted(chat: Chat) -> None:
    found = tokenize([_example("a", "b"), _example("a", "b" * 200)], chat, max_length=60, over_long="drop")
    assert found.counts == {"num_rows": 1, "num_dropped": 1, "num_truncated": 0}


def test_a_truncated_row_has_no_end_target_and_one_without_room_for_a_response_is_dropped(chat: Chat) -> None:
    examples = [_example("a", "b" * 200), _example("a" * 200, "b")]
    found = tokenize(examples, chat, max_length=60, over_long="truncate")
    assert found.counts == {"num_rows": 1, "num_dropped": 1, "num_truncated": 1}
    assert len(found.rows[0].ids) == 60
    assert chat._eos_id not in found.rows[0].ids[found.rows[0].num_prompt :]


def test_an_epoch_sees_each_row_once_at_most_and_another_order_than_the_last() -> None:
    order = Order(25, batch_size=8, seed=3, shuffle=True)
    epochs = [[order.of(step) for step in range(1 + 3 * epoch, 4 + 3 * epoch)] for epoch in range(2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [8, 8, 8]
        assert max(Counter(chain.from_iterable(batches)).values()) == 1
    assert epochs[0] != epochs[1]
    assert order.of(2) == epochs[0][1]
    assert Order(25, batch_size=8, seed=4, shuffle=True).of(1) != order.of(1)


def test_without_shuffling_every_epoch_is_in_the_order_of_the_file() -> None:
    order = Order(10, batch_size=4, seed=3, shuffle=False)
    assert [order.of(step) for step in (1, 2, 3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_fewer_rows_than_a_batch_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="7 rows are left to learn from, fewer than one batch of 8; set a smaller batch_size"):
        Order(7, batch_size=8, seed=0, shuffle=True)


def test_packed_rows_have_the_labels_and_weights_of_padded_ones_and_positions_from_0() -> None:
    rows = [Row(ids=(5, 6, 7, 8), num_prompt=2), Row(ids=(9, 10), num_prompt=1), Row(ids=(11, 12, 13), num_prompt=1)]
    weights = [0.5, 0.25, 0.125]
    packed, padded = pack(rows, weights), pad(rows, weights)
    there = padded["attention_mask"].bool()
    for name in ("input_ids", "labels", "weights"):
        assert packed[name][0].tolist() == padded[name][there].tolist(), name
    # No row is asked for the first token of the next.
    assert packed["labels"][0].tolist() == [IGNORED, 7, 8, IGNORED, 10, IGNORED, 12, 13, IGNORED]
    assert packed["position_ids"][0].tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
    assert packed["document_lengths"] == (4, 2, 3)


@pytest.mark.parametrize("over_long", ["drop", "truncate"])
def test_what_is_counted_before_a_run_is_what_the_run_finds(chat: Chat, over_long: Literal["drop", "truncate"]) -> None:
    examples = [_example("a" * prompt, "b" * response) for prompt, response in ((1, 1), (1, 200), (200, 1), (30, 20), (1, 30))]
    found = tokenize(examples, chat, max_length=70, over_long=over_long)
    assert count(iter(examples), chat, max_length=70, over_long=over_long) == found.counts
    assert found.num_dropped + found.num_truncated > 0
    assert len(found.rows) + found.num_dropped == len(examples)
