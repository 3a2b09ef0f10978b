"""The built-in observers, called as their process calls them."""

import math
import threading

import pytest
from observed import SECRET, Receiver, accumulated, as_float32, as_readers_see, is_same_table, scalars, table

from ftstudio.api import ComponentError, Event, OptionError, RunInfo
from ftstudio_observers.csv import Csv
from ftstudio_observers.options import WEBHOOK_URL, CsvOptions, TensorBoardOptions, WebhookOptions
from ftstudio_observers.webhook import Webhook


def numbered(*events):
    """Events from (attempt, kind, step, data), a second apart."""
    return [Event(seq, 1000.0 + seq, *event) for seq, event in enumerate(events, start=1)]


def metrics(attempt, step, **values):
    return attempt, "metrics", step, {"metrics": values}


def resumed(attempt, step):
    return attempt, "state", None, {"state": "running", "resumed_from": step}


STREAM = numbered(
    (1, "state", None, {"state": "running"}),
    metrics(1, 1, loss=3.5, learning_rate=5e-5),
    metrics(1, 2, loss=1 / 3, learning_rate=4e-5),
    metrics(1, 2, eval_loss=2.0),
    metrics(1, 3, loss="nan", learning_rate=3e-5),
    metrics(1, 4, loss=2.5, learning_rate=2e-5),
    (1, "sample", 4, {"prompt": "The river", "text": " runs\nfar"}),
    resumed(2, 2),
    metrics(2, 3, loss=2.75, learning_rate=3e-5),
    (2, "sample", 3, {"prompt": [{"role": "user", "content": "Hi"}], "text": "Hello", "model": "final"}),
    metrics(2, 3, eval_loss="inf"),
    metrics(2, 5, loss=0.1 + 0.2, **{"a, odd\nname": True, "grad_norm": 7}),
)


def info(folder, attempt=1):
    return RunInfo("poems", "0007", attempt, "gpu03", folder)


@pytest.fixture
def left():
    """Observers that were killed, as far as their files can tell: nobody closes them before the test is over."""
    observers = []
    yield observers
    for observer in observers:
        observer.close()


def tell(make, folder, events, after=0, left=None):
    observer = make()
    observer.open(info(folder), after)
    for event in events:
        observer.on_event(event)
    if left is None:
        observer.close()
    else:
        left.append(observer)


# ---------------------------------------------------------------------------------------------------- csv


@pytest.fixture
def make_csv():
    return lambda: Csv(CsvOptions())


@pytest.mark.parametrize("count", range(len(STREAM) + 1))
def test_the_table_holds_what_readers_see_after_every_event(tmp_path, make_csv, left, count):
    tell(make_csv, tmp_path, STREAM[:count], left=left)
    assert is_same_table(table(tmp_path), as_readers_see(STREAM[:count]))


@pytest.mark.parametrize("cursor", range(len(STREAM)))
@pytest.mark.parametrize("killed", [1, 5, len(STREAM)])
def test_a_table_that_is_told_events_again_is_the_same(tmp_path, make_csv, left, cursor, killed):
    tell(make_csv, tmp_path, STREAM[:killed], left=left)
    tell(make_csv, tmp_path, STREAM[min(cursor, killed) :], after=min(cursor, killed))
    assert is_same_table(table(tmp_path), as_readers_see(STREAM))


def test_a_row_that_a_crash_tore_is_told_again(tmp_path, make_csv):
    tell(make_csv, tmp_path, STREAM[:6])
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    begin = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        tell(make_csv, tmp_path, STREAM[5:6], after=5)
        assert path.read_bytes() == whole


def test_a_replay_from_the_start_makes_the_table_anew(tmp_path, make_csv):
    (tmp_path / "metrics.csv").write_text("step,other\n9,1.0\n")
    tell(make_csv, tmp_path, STREAM)
    assert is_same_table(table(tmp_path), as_readers_see(STREAM))


def test_a_table_that_somebody_else_wrote_over_is_begun_anew(tmp_path, make_csv):
    tell(make_csv, tmp_path, STREAM[:3])
    (tmp_path / "metrics.csv").write_bytes(b"\xff no table\n")
    tell(make_csv, tmp_path, STREAM[3:6], after=3)
    assert list(table(tmp_path)) == [2, 3, 4]


def test_a_new_column_keeps_the_rows_and_leaves_no_other_file(tmp_path, make_csv):
    tell(make_csv, tmp_path, STREAM)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header == "step,loss,learning_rate,eval_loss,grad_norm"


def test_only_the_metrics_that_are_asked_for_are_in_the_table(tmp_path):
    tell(lambda: Csv(CsvOptions(metrics=("eval_loss",))), tmp_path, STREAM)
    assert table(tmp_path) == {2: {"eval_loss": 2.0}, 3: {"eval_loss": math.inf}}


# -------------------------------------------------------------------------------------------- tensorboard


@pytest.fixture
def make_board():
    board = pytest.importorskip("ftstudio_observers.tensorboard")
    return lambda: board.TensorBoard(TensorBoardOptions())


def test_tensorboard_reads_back_equal_values_and_a_resume_purges_what_it_hides(tmp_path, make_board):
    tell(make_board, tmp_path, STREAM)
    assert is_same_table(scalars(tmp_path), as_float32(as_readers_see(STREAM)))
    times = {p.step: p.wall_time for p in accumulated(tmp_path).Scalars("loss")}
    assert times == {1: 1002.0, 2: 1003.0, 3: 1009.0, 5: 1012.0}


def test_tensorboard_shows_samples_as_texts(tmp_path, make_board):
    tell(make_board, tmp_path, STREAM)
    found = accumulated(tmp_path)
    assert set(found.Tags()["tensors"]) == {"sample/The river", "sample/final/Hi"}
    (shown,) = found.Tensors("sample/final/Hi")
    assert (shown.step, shown.tensor_proto.string_val[0]) == (3, b"HiHello")
    assert found.SummaryMetadata("sample/final/Hi").plugin_data.plugin_name == "text"


@pytest.mark.parametrize("cursor", range(1, len(STREAM)))
@pytest.mark.parametrize("killed", [5, len(STREAM)])
def test_what_is_told_again_is_in_tensorboard_once(tmp_path, make_board, left, cursor, killed):
    tell(make_board, tmp_path, STREAM[:killed], left=left)
    tell(make_board, tmp_path, STREAM[min(cursor, killed) :], after=min(cursor, killed))
    assert is_same_table(scalars(tmp_path), as_float32(as_readers_see(STREAM)))


@pytest.mark.parametrize("lost", [1, 8, 30])
def test_a_record_that_a_crash_tore_costs_none_of_the_others(tmp_path, make_board, lost):
    tell(make_board, tmp_path, STREAM[:6])
    (file,) = (tmp_path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-lost])
    tell(make_board, tmp_path, STREAM[3:], after=3)
    assert is_same_table(scalars(tmp_path), as_float32(as_readers_see(STREAM)))


def test_a_replay_from_the_start_takes_the_place_of_what_tensorboard_had(tmp_path, make_board):
    tell(make_board, tmp_path, STREAM)
    tell(make_board, tmp_path, STREAM)
    assert is_same_table(scalars(tmp_path), as_float32(as_readers_see(STREAM)))
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_tensorboard_writes_through_no_link(tmp_path, make_board):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ComponentError, match="is a symbolic link"):
        make_board().open(info(tmp_path), 0)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_without_samples_there_are_no_texts(tmp_path, make_board):
    board = pytest.importorskip("ftstudio_observers.tensorboard")
    tell(lambda: board.TensorBoard(TensorBoardOptions(samples=False)), tmp_path, STREAM)
    assert accumulated(tmp_path).Tags()["tensors"] == []


# ------------------------------------------------------------------------------------------------ webhook

END = Event(41, 1234.5, 2, "state", None, {"state": "finished", "reason": "a row of data", "checkpoint": "final"})


@pytest.fixture
def receiver(monkeypatch):
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv(WEBHOOK_URL, server.url)
    monkeypatch.setattr("ftstudio_observers.webhook.FIRST_WAIT", 0.01)
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def send(folder, *events, **options):
    return tell(lambda: Webhook(WebhookOptions(**options)), folder, events)


def test_the_webhook_tells_an_end_and_no_data(tmp_path, receiver):
    send(tmp_path, *STREAM, END)
    ((path, key, body),) = receiver.got
    assert path == SECRET
    assert body == {
        "id": "gpu03/poems:0007/41", "project": "poems", "run": "0007", "attempt": 2, "host": "gpu03",
        "state": "finished", "t": 1234.5,
    }  # fmt: skip
    assert key == body["id"]


def test_only_the_ends_that_are_asked_for_are_told_and_the_reason_on_request(tmp_path, receiver):
    interrupted = Event(9, 1.0, 1, "state", None, {"state": "interrupted", "reason": "It was killed."})
    send(tmp_path, interrupted)
    assert receiver.got == []
    send(tmp_path, interrupted, END, endings=("interrupted",), reason=True)
    assert [(body["state"], body["reason"]) for *_, body in receiver.got] == [("interrupted", "It was killed.")]


def test_the_webhook_tries_again_with_the_same_key(tmp_path, receiver):
    receiver.answers = [500, 429, 200]
    send(tmp_path, END)
    assert [key for _, key, _ in receiver.got] == ["gpu03/poems:0007/41"] * 3


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ([500], 3, "it answered 500"),
        ([404], 1, "it answered 404"),
        ([302], 1, "it answered 302"),
        (["hang"], 3, "it could not be reached (TimeoutError)"),
    ],
)
def test_the_webhook_gives_up_with_a_sentence_that_does_not_hold_the_address(tmp_path, receiver, answers, tries, said):
    receiver.answers = answers
    with pytest.raises(ComponentError, match="did not take the end of the run") as raised:
        send(tmp_path, END, retries=2, timeout_seconds=0.3)
    assert said in str(raised.value)
    assert len(receiver.got) == tries
    assert "s3cr3t" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)


def test_a_webhook_that_is_not_there_is_said_without_its_address(tmp_path, receiver, monkeypatch):
    monkeypatch.setenv(WEBHOOK_URL, f"http://127.0.0.1:9{SECRET}")
    with pytest.raises(ComponentError, match=r"could not be reached \(Connection refused\)") as raised:
        send(tmp_path, END, retries=0)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "hooks.example.org/s3cr3t", "https://", "ftp://a/b"])
def test_what_is_no_web_address_is_refused_when_it_opens(tmp_path, monkeypatch, address):
    monkeypatch.setenv(WEBHOOK_URL, address)
    with pytest.raises(ComponentError, match=f"{WEBHOOK_URL} holds no http or https address") as raised:
        send(tmp_path)
    assert "s3cr3t" not in str(raised.value)


def test_an_address_that_no_request_can_be_made_of_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv(WEBHOOK_URL, "http://a b\n:x/s3cr3t")
    with pytest.raises(ComponentError) as raised:
        send(tmp_path, END, retries=0)
    assert "s3cr3t" not in str(raised.value)


def test_a_webhook_that_would_tell_nothing_is_refused():
    with pytest.raises(OptionError, match="endings names no end"):
        WebhookOptions(endings=())
