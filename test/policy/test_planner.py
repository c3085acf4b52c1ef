"""A planner behind a server: a stand-in that speaks the protocol, well or badly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from chat_stand_in import Answer, StandIn, plan, reply, says

from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.language.planned import PlanQuestion, plan_question
from vla_humanoid_control.policy.servers.planner import KEY_VARIABLE, LARGEST, ServedPlanner
from vla_humanoid_control.support.errors import UserError


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


def question(text: str = 'give us a howdy') -> PlanQuestion:
    read = parse_command(text)
    assert isinstance(read, Instruction)
    asked = plan_question(read)
    assert asked is not None
    return asked


def test_a_server_is_asked_by_the_protocol_and_its_plan_is_taken(
        server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    server.answer = plan('wave', 'go to the red box')
    result = ServedPlanner(server.address, 'tiny', 5.0)(
        question('give us a howdy, then sashay yonder to the red box'))
    assert isinstance(result, Instruction)
    assert [step.key for step in result.steps] == ['gesture:wave', 'go_to:red:box']
    (path, headers, body), = server.heard
    assert path == '/v1/chat/completions' and 'Authorization' not in headers
    assert body['model'] == 'tiny' and body['stream'] is False
    assert [m['role'] for m in body['messages']] == ['system', 'user']
    assert json.loads(body['messages'][1]['content'])['clauses'] == [
        'give us a howdy', 'sashay yonder to the red box']


def test_the_key_of_the_environment_goes_with_it(server: StandIn,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, 'secret')
    ServedPlanner(f'{server.address}/', 'tiny', 5.0)(question())
    (path, headers, _), = server.heard
    assert path == '/v1/chat/completions' and headers['Authorization'] == 'Bearer secret'


def test_a_step_that_cannot_be_read_is_no_plan(server: StandIn) -> None:
    server.answer = plan('sing')
    assert ServedPlanner(server.address, 'tiny', 5.0)(question()) \
        == "the planner says 'sing', which cannot be done"


@pytest.mark.parametrize(('answer', 'reason'), [
    (reply(b''), 'gave no answer that can be read'),
    (reply(b'wave'), 'gave no answer that can be read'),
    (reply(b'\xff\xfe'), 'gave no answer that can be read'),
    (reply(b'[' * 60_000), 'gave no answer that can be read'),
    (reply(b'{"choices": []}'), 'gave no answer that can be read'),
    (reply(b'{"choices": {"0": 1}}'), 'gave no answer that can be read'),
    (says(None), 'gave no answer that can be read'),
    (says(['wave']), 'gave no answer that can be read'),
    (says('Happy to help!'), 'gave no plan that can be read'),
    (reply(b'{}', 500), 'reports an error: 500'),
    (reply(b'{}', 404), 'reports an error: 404'),
    (reply(b'x' * (LARGEST + 1)), f'gave an answer of more than {LARGEST} bytes')])
def test_nonsense_is_no_plan(server: StandIn, answer: Answer, reason: str) -> None:
    server.answer = answer
    result = ServedPlanner(server.address, 'tiny', 5.0)(question())
    assert isinstance(result, str) and reason in result


def test_no_redirect_is_followed(server: StandIn) -> None:
    other = StandIn()
    server.answer = reply(b'', 307, Location=f'{other.address}/chat/completions')
    result = ServedPlanner(server.address, 'tiny', 5.0)(question())
    other.close()
    assert isinstance(result, str) and '307' in result and not other.heard


def test_no_proxy_is_used(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('http_proxy', 'HTTP_PROXY', 'ALL_PROXY'):
        monkeypatch.setenv(name, 'http://127.0.0.1:9')
    assert isinstance(ServedPlanner(server.address, 'tiny', 5.0)(question()), Instruction)


def _sleeps(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3.0)


def _trickles(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header('Content-Length', '1000')
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b' ')
        handler.wfile.flush()
        time.sleep(0.1)


def _trickles_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\n')
    for number in range(30):
        handler.wfile.write(f'X-{number}: 1\r\n'.encode())
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize('answer', [_sleeps, _trickles, _trickles_headers])
def test_a_slow_server_is_given_up(server: StandIn, answer: Answer) -> None:
    server.answer = answer
    began_s = time.monotonic()
    result = ServedPlanner(server.address, 'tiny', 0.5)(question())
    assert time.monotonic() - began_s < 2.0
    assert result == f'the planner at {server.address} did not answer within 0.5 s'


def test_a_dead_server_is_named(server: StandIn) -> None:
    server.close()
    result = ServedPlanner(server.address, 'tiny', 5.0)(question())
    assert isinstance(result, str)
    assert f'the planner at {server.address} cannot be reached' in result


def test_a_server_that_hangs_up_is_named(server: StandIn) -> None:
    server.answer = lambda handler: handler.connection.close()
    result = ServedPlanner(server.address, 'tiny', 5.0)(question())
    assert isinstance(result, str) and result.startswith(f'the planner at {server.address} ')


@pytest.mark.parametrize('address', [
    'localhost:11434', 'ftp://localhost/v1', 'http://', 'http://localhost:99999/v1',
    'http://me:secret@localhost/v1', 'http://localhost/v1?a=b', 'http://localhost/v1 x',
    'http://localhost/\r\nX: y', 'openpi://localhost:8000'])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match='no address of a planner'):
        ServedPlanner(address, 'tiny', 5.0)
