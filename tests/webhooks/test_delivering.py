"""A message is sent at least once, tried again when it fails, and an address that fails holds up its own alone."""

import asyncio
import datetime as dt

import pytest

from atelier.kit.background import background
from atelier.webhooks import rules, service
from atelier.webhooks.delivering import Bounds
from atelier.webhooks.model import DeliveryId, DeliveryNotFound, Endpoint, Event, State
from support.receiver import Receiver, receiver
from support.told import INSTALLATION, Office, until

SHORT_LEASE = Bounds(lease=dt.timedelta(seconds=0.5))


async def test_a_message_arrives_signed_and_stands_in_the_log(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    told.said = "thanks " * 100
    sent = await office.message(endpoint, id="1", name="\N{SNOWMAN}")

    async with office.sending():
        whole = await office.until_tried(sent)

    [received] = told.received
    assert received.signed_by(endpoint.secret)
    assert not received.signed_by(rules.account_secret(INSTALLATION, office.account_id))
    assert (received.id, received.document["type"]) == (str(sent), "job.succeeded")
    assert received.document["data"] == {"id": "1", "name": "\N{SNOWMAN}"}
    assert received.headers["Content-Type"] == "application/json"
    assert (whole.delivery.state, whole.delivery.tries) == (State.DELIVERED, 1)
    [tried] = whole.tries
    assert (tried.how.status, tried.how.error, len(tried.how.said)) == (204, "", 0)


async def test_any_status_of_success_is_one_and_no_other(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    told.answers = [200, 201, 299, 300, 302, 400, 404, 500]

    async with office.sending():
        whole = [await office.until_tried(await office.message(endpoint)) for _ in range(8)]

    assert [each.delivery.state for each in whole] == [State.DELIVERED] * 3 + [State.PENDING] * 5


async def test_a_message_that_fails_is_tried_again_after_a_while_under_the_same_id(
    office: Office, told: Receiver
) -> None:
    endpoint = await office.endpoint(told.url)
    told.answers, told.said = [503, 500], "x" * 10_000
    sent = await office.message(endpoint)

    async with office.sending():
        first = await office.until_tried(sent)
        pause = await office.pause(sent)
        failing = (await office.read(endpoint)).failing_since
        await office.make_due(sent)
        await office.until_tried(sent, 2)
        longer = await office.pause(sent)
        await office.make_due(sent)
        whole = await office.until_tried(sent, 3)

    assert dt.timedelta(seconds=4) < pause < dt.timedelta(seconds=60) < longer < dt.timedelta(seconds=600)
    assert (first.delivery.state, failing is not None) == (State.PENDING, True)
    assert [tried.how.status for tried in whole.tries] == [503, 500, 204]
    assert len(first.tries[0].how.said) == 200
    assert whole.delivery.state is State.DELIVERED
    assert {each.id for each in told.received} == {str(sent)}
    assert (await office.read(endpoint)).failing_since is None


async def test_a_message_is_given_up_after_its_last_try(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    told.answers = [500] * 20
    sent = await office.message(endpoint)

    async with office.sending():
        for number in range(1, 9):
            await office.until_tried(sent, number)
            await office.make_due(sent)
        await until(lambda: _is(office, sent, State.FAILED))

    assert len(told.received) == 8
    assert (await office.read(endpoint)).enabled


async def _is(office: Office, sent: object, state: State) -> bool:
    return (await office.rows("SELECT state FROM webhook_deliveries WHERE id = %s", sent)) == [(state,)]


async def test_an_endpoint_that_is_gone_is_told_nothing_more(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    waiting = await office.message(endpoint)
    await office.run("UPDATE webhook_deliveries SET next_at = now() + interval '1 hour'")
    told.answers = [410]
    sent = await office.message(endpoint)

    async with office.sending():
        await office.until_tried(sent)

    gone = await office.read(endpoint)
    assert (gone.enabled, gone.why_disabled) == (False, "It answered 410 Gone.")
    assert [await office.state(each) for each in (sent, waiting)] == [State.FAILED] * 2


async def test_an_endpoint_is_switched_off_after_five_days_and_on_again_by_its_owner(
    office: Office, told: Receiver
) -> None:
    endpoint = await office.endpoint(told.url)
    told.answers = [500] * 20
    await office.run("UPDATE webhook_endpoints SET failing_since = now() - interval '6 days'")
    early, late = await office.message(endpoint), await office.message(endpoint)
    await office.run("UPDATE webhook_deliveries SET tries = 7 WHERE id = %s", late)

    async with office.sending():
        await office.until_tried(early)
        await until(lambda: _is(office, late, State.FAILED))

    off = await office.read(endpoint)
    assert not off.enabled
    assert off.why_disabled == "Nothing has arrived for 5 days; the last time: it answered 500"
    async with office.database.transaction() as tx:
        on = await service.change(
            tx, office.outbound, office.account_id, endpoint.id, service.Change(enabled=True)
        )
    assert (on.enabled, on.why_disabled, on.failing_since) == (True, "", None)


async def test_a_single_failure_long_ago_switches_nothing_off(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    told.answers = [500]
    await office.run("UPDATE webhook_endpoints SET failing_since = now() - interval '6 days'")

    async with office.sending():
        await office.until_tried(await office.message(endpoint))

    assert (await office.read(endpoint)).enabled


async def test_for_a_day_both_secrets_sign(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    async with office.database.transaction() as tx:
        rotated = await service.rotate(tx, office.account_id, endpoint.id)

    async with office.sending():
        await office.until_tried(await office.message(rotated))
        await office.run("UPDATE webhook_endpoints SET former_until = now()")
        await office.until_tried(await office.message(rotated))

    during, after = told.received
    assert (during.signed_by(endpoint.secret), during.signed_by(rotated.secret)) == (True, True)
    assert (after.signed_by(endpoint.secret), after.signed_by(rotated.secret)) == (False, True)


async def test_an_address_of_a_request_is_signed_for_with_its_secret_or_the_accounts(
    office: Office, told: Receiver
) -> None:
    secret = rules.new_secret()

    async with office.sending():
        for given in (secret, None):
            await office.until_tried(await office.message_to_asked(told.url, given))

    with_secret, without = told.received
    assert with_secret.signed_by(secret)
    assert without.signed_by(rules.account_secret(INSTALLATION, office.account_id))


async def test_an_address_that_leads_inside_is_not_asked_and_its_owner_is_told_why(office: Office) -> None:
    sent = await office.message_to_asked("http://localhost:1/hook")
    inside = await office.message_to_asked("http://10.0.0.1/hook")

    async with office.sending():
        tries = [(await office.until_tried(each)).tries[0].how for each in (sent, inside)]

    assert [each.status for each in tries] == [None, None]
    assert tries[1].error == "10.0.0.1 is not a public address."


async def test_an_address_that_does_not_answer_holds_up_its_own_alone(office: Office, told: Receiver) -> None:
    told.held.clear()
    slow = await office.endpoint(told.url)
    for number in range(12):
        await office.message(slow, number=number)

    async with receiver() as other, office.sending(Bounds(per_url=3)):
        await told.until(3)
        quick = await office.endpoint(other.url)
        await office.until_tried(await office.message(quick))
        in_hand = len(told.received)
        told.held.set()
        everything = await told.until(12)

    assert in_hand == 3
    assert len({each.id for each in everything}) == 12


async def test_one_account_does_not_take_every_place(office: Office, told: Receiver) -> None:
    told.held.clear()
    endpoints = [await office.endpoint(f"{told.url}/{number}") for number in range(4)]
    for endpoint in endpoints:
        await office.message(endpoint)

    async with office.sending(Bounds(per_account=2)):
        await told.until(2)
        await asyncio.sleep(1.5)
        in_hand = len(told.received)
        told.held.set()
        await told.until(4)

    assert in_hand == 2


async def test_what_was_sent_and_not_written_down_is_sent_again_under_the_same_id(
    office: Office, told: Receiver
) -> None:
    told.held.clear()
    sent = await office.message(await office.endpoint(told.url))
    async with background() as work:
        dying = work.start(office.delivering(SHORT_LEASE).run())
        await told.until(1)
        dying.cancel()
    told.held.set()

    async with office.sending(SHORT_LEASE):
        whole = await office.until_tried(sent)

    assert [each.id for each in told.received] == [str(sent)] * 2
    assert (whole.delivery.state, whole.delivery.tries) == (State.DELIVERED, 1)


async def test_several_senders_send_each_message_once(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint(told.url)
    messages = [await office.message(endpoint, number=number) for number in range(40)]

    async with office.sending(), office.sending(), office.sending():
        await told.until(40)
        for each in messages:
            await office.until_tried(each)

    assert len(told.received) == 40


async def test_an_endpoint_that_is_removed_while_it_is_told_disturbs_nobody(
    office: Office, told: Receiver
) -> None:
    told.held.clear()
    endpoint = await office.endpoint(told.url)
    sent = await office.message(endpoint)

    async with office.sending():
        await told.until(1)
        async with office.database.transaction() as tx:
            await service.remove(tx, office.account_id, endpoint.id)
        told.held.set()
        await office.until_tried(await office.message(await office.endpoint(told.url)))

    with pytest.raises(DeliveryNotFound):
        await office.whole(sent)


async def test_an_endpoint_that_moved_is_told_at_its_new_address(office: Office, told: Receiver) -> None:
    endpoint = await office.endpoint("http://127.0.0.1:1025/")
    sent = await office.message(endpoint)
    async with office.database.transaction() as tx:
        await service.change(
            tx, office.outbound, office.account_id, endpoint.id, service.Change(url=f"{told.url}/new")
        )

    async with office.sending():
        await office.until_tried(sent)

    assert told.received[0].path == "/hook/new"


async def test_a_message_is_told_again_by_hand_under_the_same_id_and_with_all_its_tries(
    office: Office, told: Receiver
) -> None:
    endpoint = await office.endpoint(told.url)
    sent = await office.message(endpoint)

    async with office.sending():
        await office.until_tried(sent)
        told.answers = [500]
        await _replay(office, sent)
        failed = await office.until_tried(sent, 2)
        pause = await office.pause(sent)
        await _replay(office, sent)
        again = await office.until_tried(sent, 3)

    assert {each.id for each in told.received} == {str(sent)}
    assert {each.body for each in told.received} == {told.received[0].body}
    assert (failed.delivery.state, pause < dt.timedelta(seconds=60)) == (State.PENDING, True)
    assert (again.delivery.state, again.delivery.tries) == (State.DELIVERED, 3)


async def _replay(office: Office, sent: DeliveryId) -> None:
    async with office.database.transaction() as tx:
        await service.replay(tx, office.account_id, sent)
    office.wakeups.publish(service.TOPIC)


async def test_a_test_is_sent_once_also_where_the_endpoint_is_switched_off(office: Office, told: Receiver) -> None:
    endpoint = await _off(office, await office.endpoint(told.url))
    told.answers = [500]

    async with office.sending():
        states = [await _tested(office, endpoint) for _ in range(2)]

    assert states == [State.FAILED, State.DELIVERED]
    assert told.received[0].document["type"] == Event.TEST
    assert told.received[0].signed_by(endpoint.secret)
    assert (await office.read(endpoint)).failing_since is None


async def _tested(office: Office, endpoint: Endpoint) -> State:
    async with office.database.transaction() as tx:
        sent = await service.test(tx, office.account_id, endpoint.id)
    office.wakeups.publish(service.TOPIC)
    return (await office.until_tried(sent.id)).delivery.state


async def _off(office: Office, endpoint: Endpoint) -> Endpoint:
    async with office.database.transaction() as tx:
        change = service.Change(enabled=False)
        return await service.change(tx, office.outbound, office.account_id, endpoint.id, change)


async def test_old_deliveries_are_forgotten_and_those_that_wait_are_not(office: Office) -> None:
    endpoint = await office.endpoint("https://example.com/")
    old, waiting, new = [await office.message(endpoint) for _ in range(3)]
    for state, ids in (("delivered", [old, new]), ("pending", [waiting])):
        await office.run(
            "UPDATE webhook_deliveries SET state = %s, next_at = CASE WHEN %s = 'pending' THEN now() END"
            " WHERE id = ANY(%s)",
            state,
            state,
            ids,
        )
    for each in (old, waiting):
        await office.run(
            "UPDATE webhook_deliveries SET id = ('01800000-0000-7000-8000-' || right(id::text, 12))::uuid"
            " WHERE id = %s",
            each,
        )

    async with office.database.transaction() as tx:
        gone = await service.forget(tx)

    assert gone == 1
    assert await office.rows("SELECT state FROM webhook_deliveries ORDER BY id") == [("pending",), ("delivered",)]
