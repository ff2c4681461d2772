"""The words of a `/v1` stream over a take-over."""

import pytest

from gateway.sent_words import SentWords, WordsDiffer


def test_words_that_were_not_sent_are_news() -> None:
    words = SentWords()
    assert [words.news("Hel"), words.news("lo")] == ["Hel", "lo"]


def test_the_same_words_again_are_no_news_and_what_follows_is() -> None:
    words = SentWords()
    words.news("Hello")
    words.restart(0)
    assert [words.news("Hel"), words.news("lo wor"), words.news("ld")] == ["", " wor", "ld"]


def test_a_restart_in_the_middle_goes_on_from_there() -> None:
    words = SentWords()
    words.news("Hello")
    words.restart(3)
    assert words.news("lo!") == "!"


def test_other_words_can_not_be_told() -> None:
    words = SentWords()
    words.news("Hello")
    words.restart(0)
    with pytest.raises(WordsDiffer):
        words.news("Help")


def test_a_shorter_answer_can_not_be_told() -> None:
    words = SentWords()
    words.news("Hello")
    words.restart(0)
    words.news("Hell")
    with pytest.raises(WordsDiffer):
        words.end()


def test_an_answer_that_said_everything_again_may_end() -> None:
    words = SentWords()
    words.news("Hello")
    words.restart(0)
    words.news("Hello")
    words.end()
