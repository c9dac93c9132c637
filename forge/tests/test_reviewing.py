"""A reviewer's remark holds a merge up until it is answered."""

from pathlib import Path

from squire_forge import operations, settling, store
from squire_forge.hosting import HostRequest, host
from squire_forge.samples import SampleRepository
from squire_forge.world import ForgeConfig, View, World


def test_a_pull_request_is_merged_when_its_reviewer_has_an_answer(
    samples: tuple[SampleRepository, ...], tmp_path: Path
) -> None:
    world = World(ForgeConfig(home=tmp_path, web_url="http://127.0.0.1", token="t", webhook_secret="s"))
    reviewer = {"author": "ivo", "body": "Why?", "path": "README.md"}
    repository, _ = host(world, HostRequest.model_validate({**samples[3].hosting(), "reviewer": reviewer}))
    git = world.git(repository)
    tip = git.branch("main") or ""
    with world.database.writing() as con:
        view = View(world, con)
        person = git.commit(tip).author
        git.update_ref("refs/heads/squire/x", git.commit_tree(git.commit(tip).tree, (tip,), "Ours", person))
        request = operations.NewPull(title="Ours", head="squire/x", base="main")
        number = operations.create_pull(view, repository, request, operations.viewer(view)).number
    for _ in range(2):  # it remarks once
        settling.settle(world, repository.id)
    with world.database.writing() as con:
        pull = store.pull(con, repository, number)
        assert pull is not None
        assert pull.state == "open"
        (thread,) = store.threads(con, pull)
        operations.answer_thread(View(world, con), thread, operations.viewer(View(world, con)), "Since.")
    settling.settle(world, repository.id)
    with world.database.reading() as con:
        pull = store.pull(con, repository, number)
        assert pull is not None
        assert pull.merged
        assert [thread.resolved for thread in store.threads(con, pull)] == [True]
    world.database.close()
