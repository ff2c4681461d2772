"""People, their keys, and who a key says is asking."""

import pytest
from sqlalchemy import select

from gateway import people
from gateway.api_keys import hash_of
from gateway.errors import SignInRequired
from gateway.identify import Identify
from gateway.people_store import LOCAL_PERSON, ensure_local_person
from gateway.tables import api_keys
from gateway.tables import people as people_table
from local.ports import free_port
from wire.database import Database, DatabaseUnavailable
from wire.ids import PersonId, new_id


@pytest.fixture
def name() -> str:
    return f"Ada {new_id()}"


@pytest.fixture
def command_environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_GATEWAY_DATABASE_URL", database_url)


async def person_named(database: Database, name: str) -> PersonId:
    async with database.transaction() as connection:
        found = await connection.scalar(select(people_table.c.id).where(people_table.c.name == name))
    assert found is not None
    return PersonId(found)


async def test_a_new_person_signs_in_with_the_key_that_is_shown(database: Database, name: str) -> None:
    key = await people.add_person(database, name)
    assert key.startswith("hl_")
    assert len(key) == len("hl_") + 43
    identify = Identify(database, sign_in="keys")
    assert await identify.person(f"Bearer {key}") == await person_named(database, name)


async def test_of_a_key_only_its_hash_and_its_start_are_kept(database: Database, name: str) -> None:
    key = await people.add_person(database, name)
    async with database.transaction() as connection:
        [row] = await connection.execute(select(api_keys).where(api_keys.c.key_hash == hash_of(key)))
    assert row.hint == key[:9]
    assert key not in "".join(str(value) for value in row)


async def test_a_name_is_taken_once(database: Database, name: str) -> None:
    await people.add_person(database, name)
    with pytest.raises(people.CannotDo, match="already somebody named"):
        await people.add_person(database, name)


@pytest.mark.parametrize("bad", ["", "  ", "x" * 101, "a\x00b", "a\nb", "local"])
async def test_a_name_that_can_not_be_used_is_refused(database: Database, bad: str) -> None:
    with pytest.raises(people.CannotDo):
        await people.add_person(database, bad)


async def test_a_second_key_works_beside_the_first(database: Database, name: str) -> None:
    keys = [await people.add_person(database, name), await people.add_key(database, name)]
    identify = Identify(database, sign_in="keys")
    assert {await identify.person(f"Bearer {key}") for key in keys} == {await person_named(database, name)}


async def test_a_revoked_key_is_refused(database: Database, name: str) -> None:
    key = await people.add_person(database, name)
    assert await people.revoke(database, name) == 1
    assert await people.revoke(database, name) == 0
    with pytest.raises(SignInRequired):
        await Identify(database, sign_in="local").person(f"Bearer {key}")


async def test_one_of_several_keys_is_revoked_by_its_start(database: Database, name: str) -> None:
    first, second = await people.add_person(database, name), await people.add_key(database, name)
    assert await people.revoke(database, name, first[:9]) == 1
    identify = Identify(database, sign_in="keys")
    assert await identify.person(f"Bearer {second}")
    with pytest.raises(SignInRequired):
        await identify.person(f"Bearer {first}")


async def test_a_key_is_remembered_for_a_moment(database: Database, name: str) -> None:
    key = await people.add_person(database, name)
    identify = Identify(database, sign_in="keys")
    person = await identify.person(f"Bearer {key}")
    await people.revoke(database, name)
    assert await identify.person(f"Bearer {key}") == person


@pytest.mark.parametrize("authorization", [None, "Bearer sk-any", "Basic abc", "Bearer", ""])
async def test_without_sign_in_whoever_has_no_key_of_ours_is_local(
    database: Database, authorization: str | None
) -> None:
    assert await Identify(database, sign_in="local").person(authorization) == LOCAL_PERSON


@pytest.mark.parametrize("authorization", [None, "Bearer sk-any", "Bearer hl_unknown", "Bearer hl_" + "x" * 5000])
async def test_with_sign_in_only_a_good_key_will_do(database: Database, authorization: str | None) -> None:
    with pytest.raises(SignInRequired):
        await Identify(database, sign_in="keys").person(authorization)


async def test_a_key_can_not_be_looked_up_without_the_database() -> None:
    nowhere = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing", application_name="tests")
    identify = Identify(nowhere, sign_in="local")
    with pytest.raises(DatabaseUnavailable):
        await identify.person("Bearer hl_anything")
    assert await identify.person(None) == LOCAL_PERSON


async def test_the_local_person_is_there_once(database: Database) -> None:
    for _ in range(2):
        async with database.transaction() as connection:
            await ensure_local_person(connection)
    assert await person_named(database, "local") == LOCAL_PERSON


@pytest.mark.usefixtures("command_environment")
def test_the_command_prints_the_key_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    people.main(["add", name])
    [key] = [word for word in capsys.readouterr().out.split() if word.startswith("hl_")]
    people.main(["list"])
    listed = capsys.readouterr().out
    assert f"{key[:9]}…" in listed
    assert key not in listed
    people.main(["revoke", name])
    assert capsys.readouterr().out == f"1 key of {name} revoked.\n"


@pytest.mark.usefixtures("command_environment")
@pytest.mark.parametrize("words", [["add", "local"], ["add-key", "nobody at all"], ["revoke", "nobody at all"]])
def test_the_command_ends_with_one_sentence_when_it_can_not_do_it(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        people.main(words)
    assert isinstance(ended.value.code, str)


def test_the_command_says_when_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_GATEWAY_DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    with pytest.raises(SystemExit, match="database can't be reached"):
        people.main(["list"])
