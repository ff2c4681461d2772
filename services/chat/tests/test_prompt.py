"""What a model is sent of a conversation."""

import pytest

from chat.prompt import BranchMessage, Prompt, estimate_tokens, prompt_from_branch, prompt_from_completion


def branch(*texts: str) -> list[BranchMessage]:
    """Questions and answers in turn, a question first."""
    return [BranchMessage(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)]


def sent(messages: list[BranchMessage], context_window: int | None) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in prompt_from_branch(messages, context_window).messages]


def test_without_a_known_window_the_whole_branch_is_sent() -> None:
    assert sent(branch("one", "two", "three"), None) == [("user", "one"), ("assistant", "two"), ("user", "three")]


def test_what_fits_into_three_quarters_of_the_window_is_sent_whole() -> None:
    fits = branch("a" * 120, "b" * 120, "c" * 120)
    assert len(sent(fits, 136)) == 3  # 3 messages of 30 + 4 tokens are 102, three quarters of 136


def test_the_oldest_messages_are_left_out_when_they_do_not_fit() -> None:
    messages = branch("a" * 120, "b" * 120, "c" * 120, "d" * 120, "e" * 120)
    assert [text[0] for _, text in sent(messages, 136)] == ["c", "d", "e"]


def test_a_history_does_not_begin_with_the_answer_to_a_question_that_was_left_out() -> None:
    messages = branch("a" * 120, "b" * 120, "c" * 120)
    assert [role for role, _ in sent(messages, 135)] == ["user"]


def test_that_holds_without_a_window_too_when_the_branch_was_cut_elsewhere() -> None:
    messages = [BranchMessage("assistant", "answer"), *branch("question")]
    assert sent(messages, None) == [("user", "question")]


def test_the_last_message_is_sent_however_long_it_is() -> None:
    assert sent(branch("a", "b", "c" * 100_000), 256) == [("user", "c" * 100_000)]


def test_answers_without_a_word_are_left_out() -> None:
    assert sent(branch("one", "", "two"), None) == [("user", "one"), ("user", "two")]


def test_a_completion_is_sent_as_the_caller_wrote_it() -> None:
    messages = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    prompt = prompt_from_completion({"messages": messages, "parameters": {"temperature": 0}})
    assert prompt == Prompt(messages, {"temperature": 0})


@pytest.mark.parametrize("parameters", [None, {}])
def test_a_completion_without_parameters_has_none(parameters: dict[str, object] | None) -> None:
    assert prompt_from_completion({"messages": [], "parameters": parameters}) == Prompt([], {})


@pytest.mark.parametrize(("chars", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_characters_are_a_token_and_a_rest_is_one_too(chars: int, tokens: int) -> None:
    assert estimate_tokens(chars) == tokens


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("a" * 8, 6),
        ([{"type": "text", "text": "a" * 4}, {"type": "image_url", "image_url": {"url": "data:"}}], 5),
        (["not a part"], 4),
        (None, 4),
        (7, 4),
    ],
)
def test_a_prompt_is_estimated_by_its_texts_and_a_little_for_each_message(content: object, tokens: int) -> None:
    assert Prompt([{"role": "user", "content": content}], {}).estimated_tokens == tokens
