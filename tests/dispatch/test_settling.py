"""What a claim charged is set right with what the run took; nobody pays for a prompt that never began."""

from atelier.dispatch.settling import Settling
from atelier.fleet.model import Party
from atelier.kit.ids import AccountId, new_uuid

ANN = Party(5, AccountId(new_uuid()), "ann")


def test_nothing_is_owed_at_first() -> None:
    assert Settling().owed(ANN) == 0.0


def test_a_run_that_was_shorter_than_expected_gives_back_by_weight() -> None:
    settling, prompt_id = Settling(), new_uuid()
    settling.charge(prompt_id, ANN, 10.0, 2.0)

    settling.spend(prompt_id, 4.0)

    assert settling.owed(ANN) == -3.0


def test_each_run_is_set_right_once() -> None:
    settling, prompt_id = Settling(), new_uuid()
    settling.charge(prompt_id, ANN, 10.0, 1.0)

    for _ in range(2):
        settling.spend(prompt_id, 12.0)
    settling.spend(new_uuid(), 100.0)

    assert settling.owed(ANN) == 2.0


def test_what_was_charged_is_owed_no_more_and_what_came_meanwhile_is() -> None:
    settling, prompts = Settling(), [new_uuid(), new_uuid()]
    for prompt_id in prompts:
        settling.charge(prompt_id, ANN, 5.0, 1.0)
    settling.spend(prompts[0], 6.0)
    asked = settling.owed(ANN)
    settling.spend(prompts[1], 0.0)

    settling.settle(ANN, asked)

    assert settling.owed(ANN) == -5.0
