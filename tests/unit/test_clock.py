"""Clocks: the virtual one in full; the loop's on a real loop, for its order and its errors, not its speed."""

import asyncio
import random
import time

import pytest

from streambox.clock import Alarm, Lead, LoopClock, Timer, VirtualClock, WakeUp


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def fired():
    return []


# ---- virtual -------------------------------------------------------------------------------------


def test_it_moves_only_when_told_to(clock):
    assert clock.now_ns() == 0
    clock.advance(5)
    clock.advance(2)
    assert clock.now_ns() == 7
    assert VirtualClock(100).now_ns() == 100


def test_timers_fire_in_the_order_of_their_instants_each_at_its_own(clock, fired):
    for when_ns in (30, 10, 20):
        clock.call_at(when_ns, lambda: fired.append(clock.now_ns()))
    clock.advance(25)
    assert (fired, clock.now_ns()) == ([10, 20], 25)
    clock.advance(5)
    assert fired == [10, 20, 30]


def test_timers_of_one_instant_fire_in_the_order_they_were_set(clock, fired):
    for name in "abc":
        clock.call_at(10, lambda name=name: fired.append(name))
    clock.advance(10)
    assert fired == ["a", "b", "c"]


def test_a_cancelled_timer_does_not_fire_and_is_not_due(clock, fired):
    timer = clock.call_at(10, lambda: fired.append("cancelled"))
    clock.call_at(20, lambda: fired.append("kept"))
    timer.cancel()
    timer.cancel()
    assert clock.next_ns() == 20
    clock.advance(20)
    assert (fired, clock.next_ns()) == (["kept"], None)


def test_a_timer_may_set_and_cancel_others(clock, fired):
    later = clock.call_at(20, lambda: fired.append("never"))

    def first():
        fired.append("first")
        later.cancel()
        clock.call_at(15, lambda: fired.append("second"))

    clock.call_at(10, first)
    clock.advance(30)
    assert fired == ["first", "second"]


def test_an_instant_that_has_passed_fires_at_the_next_move_without_turning_time_back(clock, fired):
    clock.advance(50)
    clock.call_at(10, lambda: fired.append(clock.now_ns()))
    assert fired == []
    clock.advance(0)
    assert fired == [50]


# ---- the loop's ----------------------------------------------------------------------------------


def on_a_loop(scenario, *, without_alarm, monkeypatch):
    """Run *scenario(clock, done)* until it calls ``done()``."""
    if without_alarm:
        monkeypatch.setattr(Alarm, "create", classmethod(lambda cls: None))

    async def main():
        loop = asyncio.get_running_loop()
        faults = []
        loop.set_exception_handler(lambda _, context: faults.append(context.get("exception")))
        clock, finished = LoopClock(loop), asyncio.Event()
        scenario(clock, finished.set)
        await finished.wait()
        clock.close()
        return faults

    return asyncio.run(main())


@pytest.fixture(params=[False, True], ids=["timerfd", "the loop's own timers"])
def play(request, monkeypatch):
    return lambda scenario: on_a_loop(scenario, without_alarm=request.param, monkeypatch=monkeypatch)


def test_no_timer_fires_before_its_instant_and_all_in_order(play, fired):
    def scenario(clock, done):
        start_ns = clock.now_ns()
        for offset_us in (3000, 1000, 2000):
            due_ns = start_ns + offset_us * 1000
            clock.call_at(due_ns, lambda o=offset_us, d=due_ns: fired.append((o, clock.now_ns() >= d)))
        clock.call_at(start_ns + 4_000_000, done)

    play(scenario)
    assert fired == [(1000, True), (2000, True), (3000, True)]


def test_a_timer_set_by_a_timer_fires_also_when_it_is_sooner_than_those_waiting(play, fired):
    def scenario(clock, done):
        now_ns = clock.now_ns()

        def first():
            fired.append("first")
            clock.call_at(clock.now_ns(), lambda: fired.append("second"))

        clock.call_at(now_ns + 20_000_000, lambda: (fired.append("third"), done()))
        clock.call_at(now_ns, first)

    play(scenario)
    assert fired == ["first", "second", "third"]


def test_a_cancelled_timer_stays_silent(play, fired):
    def scenario(clock, done):
        timer = clock.call_at(clock.now_ns() + 1_000_000, lambda: fired.append("cancelled"))
        clock.call_at(clock.now_ns() + 2_000_000, done)
        timer.cancel()

    play(scenario)
    assert fired == []


def test_a_timer_that_raises_does_not_take_the_others_with_it(play, fired):
    def broken():
        raise ZeroDivisionError

    def scenario(clock, done):
        clock.call_at(clock.now_ns(), broken)
        clock.call_at(clock.now_ns() + 1_000_000, lambda: (fired.append("after"), done()))

    faults = play(scenario)
    assert fired == ["after"]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


def test_a_closed_clock_leaves_nothing_on_the_loop(play):
    def scenario(clock, done):
        clock.call_at(clock.now_ns() + 10**15, done)
        clock.close()
        clock.close()
        done()

    assert play(scenario) == []


def test_a_timer_knows_its_instant():
    timer = Timer(5, print)
    assert (timer.when_ns, timer.cancelled) == (5, False)


def test_a_timer_that_always_comes_due_again_lets_the_loop_do_other_work() -> None:
    """A sender behind its schedule sets its next wake-up in the past; responses still get their turn."""

    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        runs = 0
        other_work = loop.create_future()

        def again() -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                loop.call_soon(other_work.set_result, None)
            if not other_work.done() and runs < 10_000:
                clock.call_at(clock.now_ns() - 1, again)

        clock.call_at(clock.now_ns(), again)
        await other_work
        clock.close()
        return runs

    assert asyncio.run(scenario()) < 10


# ---- one wake-up ---------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["timerfd", "the loop's own timers"])
def waking(request, monkeypatch):
    """Calls *scenario(wake_up, done)*, with a wake-up that calls what ``call`` is at the time."""
    if request.param:
        monkeypatch.setattr(Alarm, "create", classmethod(lambda cls: None))

    def play(scenario):
        async def main():
            finished = asyncio.Event()
            scenario(lambda call: WakeUp(asyncio.get_running_loop(), call), finished.set)
            await finished.wait()

        asyncio.run(main())

    return play


def test_a_wake_up_comes_at_its_instant_not_before_and_again_when_it_is_told_to(waking, fired):
    def scenario(make, done):
        due_ns = [time.monotonic_ns() + ms * 1_000_000 for ms in (1, 3)]

        def woken():
            fired.append(time.monotonic_ns() >= due_ns[len(fired)])
            if len(fired) < len(due_ns):
                wake_up.at(due_ns[len(fired)])
            else:
                wake_up.close()
                done()

        wake_up = make(woken)
        wake_up.at(due_ns[0])

    waking(scenario)
    assert fired == [True, True]


def test_a_wake_up_can_be_moved_and_called_off(waking, fired):
    def scenario(make, done):
        now_ns = time.monotonic_ns()
        moved = make(lambda: (fired.append("moved"), moved.never()))
        never = make(lambda: (fired.append("never"), never.never()))
        last = make(lambda: (last.close(), moved.close(), never.close(), done()))
        moved.at(now_ns + 10**15)
        moved.at(now_ns + 1_000_000)
        never.at(now_ns + 1_000_000)
        never.never()
        last.at(now_ns + 3_000_000)

    waking(scenario)
    assert fired == ["moved"]


def test_an_instant_that_has_passed_wakes_at_once(waking, fired):
    def scenario(make, done):
        wake_up = make(lambda: (fired.append("woken"), wake_up.close(), done()))
        wake_up.at(-5)

    waking(scenario)
    assert fired == ["woken"]


class FarAhead:
    """A lead of an hour whatever it is told, so that an alarm is heard early; keeps what it was told."""

    ns = 3_600_000_000_000

    def __init__(self):
        self.told = []
        self.heard = asyncio.Event()

    def observe(self, late_ns):
        self.told.append(late_ns)
        self.heard.set()


@pytest.fixture
def far_ahead(monkeypatch):
    if Alarm.create() is None:
        pytest.skip("no timerfd on this platform, so nothing to learn")
    lead = FarAhead()
    monkeypatch.setattr("streambox.clock.Lead", lambda: lead)
    return lead


async def turns_of_the_loop(number):
    for _ in range(number):
        await asyncio.sleep(0)


def test_an_alarm_heard_early_waits_for_its_instant_and_holds_nobody_up(far_ahead, fired):
    async def main():
        woken = asyncio.Event()
        wake_up = WakeUp(
            asyncio.get_running_loop(), lambda: (fired.append("woken"), wake_up.close(), woken.set())
        )
        wake_up.at(time.monotonic_ns() + FarAhead.ns)
        await far_ahead.heard.wait()
        await turns_of_the_loop(20)
        assert (fired, len(far_ahead.told)) == ([], 1)  # looked at twenty times, and one lateness
        assert far_ahead.told[0] >= 0

        wake_up.at(time.monotonic_ns())
        await woken.wait()

    asyncio.run(main())
    assert fired == ["woken"]
    assert len(far_ahead.told) == 1  # it was on all the time: nothing to learn from


def test_an_alarm_called_off_after_it_was_heard_early_stays_silent(far_ahead, fired):
    async def main():
        wake_up = WakeUp(asyncio.get_running_loop(), lambda: fired.append("woken"))
        wake_up.at(time.monotonic_ns() + FarAhead.ns)
        await far_ahead.heard.wait()
        wake_up.never()
        await turns_of_the_loop(20)
        wake_up.close()

    asyncio.run(main())
    assert fired == []
    assert len(far_ahead.told) == 1


# ---- how much earlier to set it ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_lead_settles_at_the_median_of_what_it_is_told(seed):
    drawn, lead = random.Random(seed), Lead()
    for _ in range(20_000):
        lead.observe(round(drawn.expovariate(1 / 30_000)))  # median: 30 us x ln 2 = 20.8 us
    assert lead.ns == pytest.approx(20_800, abs=4_000)


def test_a_lead_is_moved_by_the_number_of_late_alarms_not_by_how_late_one_is():
    lead = Lead()
    lead.observe(10**12)
    assert lead.ns == Lead.STEP_NS


def test_a_lead_is_never_negative_and_never_above_its_limit():
    lead = Lead()
    lead.observe(0)
    assert lead.ns == 0
    for _ in range(1000):
        lead.observe(10**9)
    assert lead.ns == Lead.MOST_NS
    for _ in range(1000):
        lead.observe(0)
    assert lead.ns == 0
