from local.backoff import DELAYS_S, QUICK_S, Backoff


def test_each_quick_death_waits_longer_and_the_last_gives_up() -> None:
    backoff = Backoff()
    assert [backoff.delay_s("chat", lived_s=1.0) for _ in DELAYS_S] == list(DELAYS_S)
    assert backoff.delay_s("chat", lived_s=1.0) is None


def test_a_process_that_lived_long_enough_starts_afresh() -> None:
    backoff = Backoff()
    for _ in DELAYS_S:
        backoff.delay_s("chat", lived_s=1.0)
    assert backoff.delay_s("chat", lived_s=QUICK_S) == DELAYS_S[0]


def test_processes_are_counted_apart() -> None:
    backoff = Backoff()
    backoff.delay_s("chat", lived_s=1.0)
    assert backoff.delay_s("tracking", lived_s=1.0) == DELAYS_S[0]
