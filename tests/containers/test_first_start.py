"""`docker compose up --wait` on a clone, with nothing set: what a person, a program and a burglar then find."""

import asyncio
import json
import re

import pytest
from openai import AsyncOpenAI

from containers.composition import LOOPBACK, PYTHON_PROCESSES, Composition, docker
from e2e.edges import MESSAGE, missing_edges
from e2e.hopline import PageTrace
from e2e.person import Person
from parts.recording_ingest import RecordingIngest
from parts.traces import PAGE

LONG_ENOUGH_S = 120.0
ONE_SHOTS = {"secrets", "databases", "gateway-migrate", "chat-migrate", "tracking-migrate"}
RUNNING = {*PYTHON_PROCESSES, "postgres", "redis", "proxy", "local-model"}
AFTER_THE_PAGE = tuple(edge for edge in MESSAGE if edge.above.process != PAGE)


def test_everything_runs_and_is_well_and_what_runs_once_has_ended_well(hopline: Composition) -> None:
    containers = hopline.containers()
    assert set(containers) == RUNNING | ONE_SHOTS
    assert {name: one["State"]["Health"]["Status"] for name, [one] in containers.items() if name in RUNNING} == (
        dict.fromkeys(RUNNING, "healthy")
    )
    assert {name: one["State"]["ExitCode"] for name, [one] in containers.items() if name in ONE_SHOTS} == (
        dict.fromkeys(ONE_SHOTS, 0)
    )


def test_only_the_proxy_is_published_and_only_to_this_machine(hopline: Composition) -> None:
    published = {
        (name, binding["HostIp"], binding["HostPort"])
        for name, [one] in hopline.containers().items()
        for bindings in one["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert published == {("proxy", LOOPBACK, str(hopline.port))}


async def test_the_official_client_lists_the_models_and_streams_an_answer_with_its_usage(hopline: Composition) -> None:
    async with AsyncOpenAI(base_url=f"{hopline.url}/v1", api_key="any", timeout=LONG_ENOUGH_S) as client:
        models = [model.id async for model in client.models.list()]
        chunks = await client.chat.completions.create(
            model=models[0],
            messages=[{"role": "user", "content": "Say hello."}],
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=16,
        )
        seen = [chunk async for chunk in chunks]
    assert models == ["smollm2-135m"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in seen if chunk.choices).strip() != ""
    usage = seen[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens > 0, 0 < usage.completion_tokens <= 16) == (True, True)


async def test_a_message_is_one_trace_through_every_process(local: Person, ingest: RecordingIngest) -> None:
    page = PageTrace()
    conversation = await local.new_conversation()
    turn = await local.submit(conversation, "Say hello.", headers=page.headers)
    await local.ended_turn(turn, timeout_s=LONG_ENOUGH_S)
    trace = await ingest.wait_for_trace(
        page.trace_id, lambda t: missing_edges(t, AFTER_THE_PAGE) == [], "every hop", timeout_s=30.0
    )
    assert trace.processes == {"gateway", "chat", "chat-worker", "tracking-worker"}
    assert trace.errors == []
    [request] = trace.find("gateway", "http.server", "/turns")
    assert request.parent_id == page.span_id


async def test_the_page_and_its_parts_come_packed(hopline: Composition) -> None:
    async with hopline.client() as http:
        page = await http.get("/")
        [script] = re.findall(r'src="(/assets/[^"]+\.js)"', page.text)
        packed = await http.get(script)
    assert (page.status_code, packed.status_code) == (200, 200)
    assert packed.headers["content-encoding"] == "gzip"


async def test_a_name_or_a_page_of_somebody_else_gets_nothing_from_behind_the_proxy(hopline: Composition) -> None:
    async with hopline.client() as http:
        foreign_name = await http.get("/api/models", headers={"Host": "evil.example"})
        foreign_page = await http.post("/api/conversations", json={}, headers={"Origin": "https://evil.example"})
        own_page = await http.post("/api/conversations", json={}, headers={"Origin": hopline.url})
    assert [foreign_name.status_code, foreign_page.status_code, own_page.status_code] == [421, 403, 201]


def test_nothing_runs_as_root(hopline: Composition) -> None:
    owners = {
        name: {line.split()[1] for line in docker("top", one["Id"], "-o", "pid,uid").splitlines()[1:]}
        for name, [one] in hopline.containers().items()
        if name in RUNNING
    }
    assert {name for name, uids in owners.items() if "0" in uids} == set()


def test_containers_have_limits_and_no_privileges(hopline: Composition) -> None:
    for name, [one] in hopline.containers().items():
        host = one["HostConfig"]
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["CapDrop"] == ["ALL"], name
        assert host["ReadonlyRootfs"] or name == "postgres", name


def test_no_secret_is_in_an_inspection_an_image_a_command_or_a_log(hopline: Composition) -> None:
    passwords = {word for text in hopline.secrets().values() for word in re.split(r"[:@/\s]", text) if len(word) >= 40}
    containers = [one for copies in hopline.containers().values() for one in copies]
    images = {one["Image"] for one in containers}
    shown = [
        json.dumps(containers),
        hopline.logs(),
        *(docker("history", "--no-trunc", image) for image in images),
        *(docker("top", one["Id"], "-o", "pid,args") for one in containers if one["State"]["Running"]),
    ]
    assert len(passwords) == 6  # PostgreSQL's, three roles', Redis's, the services' key
    assert [password for password in passwords if any(password in text for text in shown)] == []


@pytest.mark.parametrize(
    ("service", "secret"),
    [("tracking", "chat-database-url"), ("gateway", "postgres-password"), ("tracking", "redis-url")],
)
def test_a_service_reads_no_secret_of_another(hopline: Composition, service: str, secret: str) -> None:
    done = hopline.try_exec(service, "cat", f"/run/hopline/secrets/{secret}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Permission denied" in done.stderr


def test_a_role_opens_no_database_but_its_own(hopline: Composition) -> None:
    own = hopline.sql("SELECT 1", database="hopline_chat", role="hopline_chat")
    foreign = hopline.sql("SELECT 1", database="hopline_chat", role="hopline_gateway")
    assert own.stdout.strip() == "1"
    assert "permission denied for database" in foreign.stderr


def test_redis_keeps_a_log_and_forgets_nothing_by_itself(hopline: Composition) -> None:
    ask = "REDISCLI_AUTH=$(sed 's/^requirepass //' /run/hopline/secrets/redis.conf) redis-cli config get"
    wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
    assert {name: hopline.exec("redis", "sh", "-c", f"{ask} {name}").split()[1] for name in wanted} == wanted
    assert "NOAUTH" in hopline.exec("redis", "redis-cli", "ping")


def test_the_services_log_lines_of_json(hopline: Composition) -> None:
    containers = hopline.containers()
    for name in PYTHON_PROCESSES:
        lines = [json.loads(line) for line in hopline.log_of(containers[name][0]).splitlines()]
        assert {line["process"] for line in lines} == {name}


async def test_a_person_is_made_by_a_command_and_comes_in_with_the_key(hopline: Composition) -> None:
    said = await asyncio.to_thread(hopline.exec, "gateway", "python", "-m", "gateway.people", "add", "anna")
    [key] = re.findall(r"hl_\S+", said)
    async with hopline.client() as http:
        hers = await http.get("/api/conversations", headers={"Authorization": f"Bearer {key}"})
    assert hers.json()["conversations"] == []


def test_a_database_that_is_newer_than_the_code_is_refused(hopline: Composition) -> None:
    version = hopline.sql("SELECT version_num FROM alembic_version", database="hopline_gateway").stdout.strip()
    hopline.sql("UPDATE alembic_version SET version_num = '9999'", database="hopline_gateway")
    try:
        done = hopline.try_compose("run", "--rm", "--no-deps", "gateway-migrate")
    finally:
        hopline.sql(f"UPDATE alembic_version SET version_num = '{version}'", database="hopline_gateway")
    assert done.returncode == 1
    assert "The database of gateway is newer than this version of Hopline." in done.stderr
