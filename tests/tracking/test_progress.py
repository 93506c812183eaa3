import io

from smbrl.tracking.progress import ProgressBars, duration, number


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, clock, *, units=1000, seconds=100.0, line_seconds=30.0):
    bars = ProgressBars(stream, line_seconds=line_seconds, clock=clock)
    with bars, bars.phase("pre-training", units, "updates") as phase:
        for done in range(1, units + 1):
            clock.now = seconds * done / units
            phase.update(done, {"loss": 1 / done})
    return stream.getvalue()


def test_without_a_terminal_there_is_one_line_every_so_many_seconds_and_one_at_the_end():
    lines = run(io.StringIO(), Clock()).splitlines()
    assert len(lines) == 4
    assert lines[0] == "pre-training: 300/1,000 updates (30 %), 10 updates/s, 1 min 10 s left, loss 0.00333"
    assert lines[-1] == "pre-training: 1,000/1,000 updates (100 %), 10 updates/s, took 1 min 40 s, loss 0.001"


def test_on_a_terminal_there_are_bars():
    text = run(Terminal(), Clock())
    assert "pre-training" in text
    assert "1000/1000" in text
    assert "\x1b[" in text


def test_the_rate_is_that_of_late_and_ignores_what_a_resumed_run_did_before():
    clock = Clock()
    with (
        ProgressBars(io.StringIO(), clock=clock) as bars,
        bars.phase("online", 100_000, "steps", start=90_000) as phase,
    ):
        assert phase.rate is None
        for second in range(1, 121):
            clock.now = float(second)
            phase.advance(100 if second <= 60 else 10)
        assert 9.0 < phase.rate < 12.0
        assert abs(phase.left - (100_000 - phase.done) / phase.rate) < 1e-9


def test_an_inner_phase_leaves_no_line_of_its_own():
    clock, stream = Clock(), io.StringIO()
    with ProgressBars(stream, clock=clock) as bars, bars.phase("online", 10, "steps") as outer:
        with bars.phase("evaluation", 5, "episodes") as inner:
            inner.advance(5)
        outer.advance(10)
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["online"]


def test_an_interrupted_phase_says_how_far_it_came():
    clock, stream = Clock(), io.StringIO()
    try:
        with ProgressBars(stream, clock=clock) as bars, bars.phase("online", 10, "steps") as phase:
            clock.now = 2.0
            phase.advance(4)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert stream.getvalue() == "online: 4/10 steps (40 %), 2 steps/s, 3 s left\n"


def test_quiet_prints_nothing():
    stream = io.StringIO()
    with ProgressBars(stream, quiet=True, line_seconds=0.0) as bars, bars.phase("online", 10, "steps") as phase:
        phase.advance(10)
        bars.message("hello")
    assert stream.getvalue() == ""


def test_it_serves_as_the_callback_of_a_generator():
    stream = io.StringIO()
    with ProgressBars(stream) as bars, bars.phase("data", 1, "episodes") as phase:
        phase.callback(30, 30)
    assert "data: 30/30 episodes" in stream.getvalue()


def test_numbers_and_durations_read_well():
    assert [duration(s) for s in (0.4, 59.4, 185, 8040)] == ["0 s", "59 s", "3 min 5 s", "2 h 14 min"]
    assert [number(v) for v in (0.012345, 12.345, 1234.5, float("nan"))] == ["0.0123", "12.3", "1,234", "nan"]
