"""What is loaded on a server follows what begins there, and is forgotten with the process that had it."""

from atelier.dispatch.heat import Heat, Told
from support.fleet import sampled

GIB = 1024**3
ONE, OTHER = "one.safetensors", "other.safetensors"


def begins(heat: Heat, checkpoint: str) -> bool | None:
    return heat.begins(checkpoint, sampled(checkpoint=checkpoint))


def roomy() -> Heat:
    heat = Heat()
    heat.learn(24 * GIB, {})
    return heat


def test_the_first_job_loads_and_the_next_does_not() -> None:
    heat = roomy()

    assert [begins(heat, ONE), begins(heat, ONE), begins(heat, OTHER), begins(heat, ONE)] == [
        True,
        False,
        True,
        False,
    ]
    assert heat.lanes() == {ONE, OTHER}


def test_a_server_that_does_not_say_how_much_it_holds_holds_the_last_jobs_models() -> None:
    heat = Heat()
    begins(heat, ONE)
    begins(heat, OTHER)

    assert heat.lanes() == {OTHER}


def test_what_waits_there_will_have_loaded_its_models() -> None:
    assert roomy().lanes([ONE, "", ONE]) == {ONE}


def test_what_is_learned_later_keeps_what_is_loaded() -> None:
    heat = Heat()
    begins(heat, ONE)

    heat.learn(24 * GIB, {ONE: 6 * GIB, OTHER: 20 * GIB})

    assert heat.vram == 24 * GIB
    assert heat.lanes() == {ONE}
    begins(heat, OTHER)
    assert heat.lanes() == {OTHER}


def test_whoever_takes_a_server_over_believes_what_was_written_down() -> None:
    assert Heat([ONE]).has(ONE)


def test_after_running_out_of_memory_nothing_is_loaded() -> None:
    heat = roomy()
    begins(heat, ONE)
    heat.stay(100.0)

    heat.forget()

    assert heat.told(0.0) == Told()
    assert begins(heat, ONE) is True


def test_after_an_absence_nobody_knows_whether_a_run_is_cold() -> None:
    heat = roomy()
    begins(heat, ONE)

    heat.doubt()

    assert heat.lanes() == frozenset()
    assert begins(heat, OTHER) is True
    assert begins(heat, ONE) is None
    assert begins(heat, ONE) is False


def test_a_server_stays_until_it_need_not() -> None:
    heat = roomy()
    begins(heat, ONE)
    heat.stay(50.0)

    assert (heat.stays(20.0), heat.stays(60.0)) == (30.0, 0.0)
    assert heat.told(20.0) == Told((ONE,), 50.0)
    assert heat.told(60.0) == Told((ONE,))
