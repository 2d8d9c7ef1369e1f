"""Several data sets in one training: joints by names, labels by source, draws by weight."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from supernet.data import AugmentOptions, DataOptions, Loader, LoaderOptions, open_dataset
from supernet.data.mix import join_joints
from supernet.data.options import MixSource
from supernet.data.plan import BatchPlan
from supernet.data.source import data_from, open_split
from supernet.errors import InputError
from supernet.evaluation import scores_by_source
from supernet.pose import score
from supernet.pose.skeletons import Skeleton
from supernet.training.distributed import Ranks
from supernet.training.options import ValidationOptions
from supernet.training.validation import SharedScoring, followed


def mixed(sources, *names, **settings):
    chosen = {name: sources[name] for name in names or sources}
    return DataOptions(**{"skeleton": "union", "workers": 0, **settings}, sources=chosen)


def test_joints_are_joined_by_names(sources):
    skeleton, places = join_joints(mixed(sources))
    crowd, coco = Skeleton.load("crowdpose"), Skeleton.load("coco")
    assert skeleton.joints == (*crowd.joints, *coco.joints[:5], "pelvis", "thorax")
    assert skeleton.sigmas == (*crowd.sigmas, *coco.sigmas[:5], 0.1, 0.08)
    assert [skeleton.joints[i] for i in skeleton.flip[14:]] == [
        "nose", "right_eye", "left_eye", "right_ear", "left_ear", "pelvis", "thorax",
    ]  # fmt: skip
    assert skeleton.order[:14] == crowd.order
    assert (12, 13) in skeleton.edges
    assert (13, 12) not in skeleton.edges
    mpii = Skeleton.load(sources["mpii"].skeleton)
    known = {
        skeleton.joints[a]: mpii.joints[b]
        for a, b in zip(places["mpii"].mine, places["mpii"].theirs, strict=True)
    }
    assert known["neck"] == "upper_neck"
    assert known["head"] == "head_top"
    assert known["left_ankle"] == "l_ankle"
    assert len(known) == 16


def test_a_mix_holds_all_images_with_the_labels_of_their_sources(sources, tmp_path):
    options = mixed(sources)
    mix = open_split(options, "train")
    _, places = join_joints(options)
    parts = {
        name: open_dataset(
            DataOptions(root=one.root, layout=one.layout, skeleton=one.skeleton), one.split_name("train")
        )
        for name, one in sources.items()
    }
    assert len(mix) == sum(map(len, parts.values())) == 10 + 6 + 6 + 2
    assert len({r.image_id for r in mix.records}) == len(mix)
    keys = np.concatenate([r.annotation_ids for r in mix.records])
    assert len(set(keys.tolist())) == len(keys) == mix.num_people
    index = 0
    for name, part in parts.items():
        for at, record in enumerate(part.records):
            found = mix.records[index]
            assert found.mixed == name
            np.testing.assert_array_equal(mix.read_image(index), part.read_image(at))
            assert mix.image_name(index) == part.image_name(at)
            if record.num_people:
                own, here = list(places[name].theirs), list(places[name].mine)
                np.testing.assert_array_equal(found.keypoints[:, here], record.keypoints[:, own])
                assert not np.delete(found.keypoints, here, axis=1).any()
            index += 1
    for name in ("crowd", "coco", "mpii"):
        assert np.flatnonzero(mix.labelled[name]).tolist() == sorted(places[name].mine)
    assert mix.labelled["nobody"].all(), "where there is nobody, there is no joint"
    crowd = mixed(sources, "crowd", skeleton="crowdpose")
    assert open_split(crowd, "train").labelled["crowd"].all()
    assert {r.mixed for r in open_split(options, "val").records} == {"crowd", "coco", "mpii"}
    (tmp_path / "nobody/1.png").write_bytes(b"no picture")
    assert list(mix.damaged()) == [len(mix) - 1], "pixels are checked source by source"


def test_joints_can_be_left_out_and_people_without_others_are_left_out_of_the_loss(sources):
    face = dict.fromkeys(Skeleton.load("coco").joints[:5])
    path = Path(sources["coco"].root) / "annotations/person_keypoints_train.json"
    found = json.loads(path.read_text())
    found["annotations"][0]["keypoints"][15:] = [0] * 36  # a face alone
    found["annotations"][0]["keypoints"][:3] = [5, 5, 2]
    path.write_text(json.dumps(found))
    options = mixed(
        {**sources, "coco": replace(sources["coco"], joints=face)}, "crowd", "coco", skeleton="crowdpose"
    )
    mix = open_split(options, "train")
    assert mix.skeleton.name == "crowdpose"
    first = next(record for record in mix.records if record.mixed == "coco")
    assert first.num_keypoints[0] == 0
    x, y, w, h = first.boxes[0]
    assert first.ignore[-1].polygons[0].tolist() == [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    assert np.flatnonzero(~mix.labelled["coco"]).tolist() == [12, 13]
    # CrowdPose's own images have a crowd index, COCO's get one: the protocol asks for all or none.
    assert not np.isnan([record.crowd_index for record in mix.records]).any()
    assert mix.num_scored() > 0


def test_draws_follow_the_weights_and_are_a_function_of_the_step():
    plan = BatchPlan(10 + 9, 4, seed=3, sources=[(range(20), 10), (range(20, 23), 9)])
    draws = [draw for step in range(19) for draw in plan.draws(step)]
    assert len(set(draws)) == len(draws) == 4 * 19, "nothing is seen twice in the same way"
    counts = [sum(draw.index == index for draw in draws) for index in range(23)]
    assert counts == [2] * 20 + [12] * 3, "half and three times in a pass"
    for epoch in range(4):
        own = [draw.index for draw in draws[19 * epoch : 19 * epoch + 19]]
        assert sum(index < 20 for index in own) == 10
    shares = [BatchPlan(19, 4, 3, rank, 2, plan.sources).draws(5) for rank in range(2)]
    assert shares[0] + shares[1] == plan.draws(5)
    plain = BatchPlan(7, 3, seed=2)
    assert BatchPlan(7, 3, seed=2, sources=[(range(7), 7)]).draws(4) == plain.draws(4)


def test_batches_of_a_mix(sources):
    still = AugmentOptions.none()
    sources["coco"] = replace(sources["coco"], weight=0.5, augment=replace(still, grey=1.0))
    sources["nobody"] = replace(sources["nobody"], weight=3.0)
    options = mixed(sources)
    mix = open_split(options, "train")
    by_id = {record.image_id: record for record in mix.records}

    def loader(**more):
        return Loader(mix, LoaderOptions(8, seed=1), (32, 48), augment=still, **more)

    with loader() as alone, loader(workers=2, start_method="fork") as many:
        batches = list(alone.batches(0, 6))
        again = list(many.batches(2, 6))
    for one, other in zip(batches[2:], again, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labelled, other.labelled)
        assert torch.equal(one.joints, other.joints)
    people = {
        name: sum(r.mixed == name and bool((r.keypoints[..., 2] > 0).any()) for r in mix.records)
        for name in sources
    }
    expected = {**people, "coco": max(1, round(people["coco"] / 2)), "nobody": 6}
    assert loader().plan.num_images == sum(expected.values())
    for batch in batches:
        for row, image_id in enumerate(batch.image_ids.tolist()):
            name = by_id[image_id].mixed
            assert batch.labelled[row].tolist() == mix.labelled[name].tolist()
            pixels = batch.images[row].float()
            assert bool((pixels.amax(-1) - pixels.amin(-1)).max() <= 1) == (name in ("coco", "nobody"))


def test_a_mix_is_scored_together_and_by_source(sources):
    mix = open_split(mixed(sources), "val")
    truth = mix.ground_truth()
    found = [
        {"image_id": one["image_id"], "category_id": 1, "keypoints": one["keypoints"], "score": 1.0}
        for one in truth["annotations"]
    ]
    others = [one for one in found if mix.records[0].image_id != one["image_id"]]
    scores = scores_by_source(mix, others)
    assert list(scores) == ["crowd", "coco", "mpii"]
    assert scores["coco"]["AP"] == scores["mpii"]["AP"] == 1.0
    assert scores["crowd"]["AP"] < 1.0
    assert scores["crowd"] == score(
        mix.subset(range(5)).ground_truth(),
        [one for one in others if one["image_id"] in {r.image_id for r in mix.records[:5]}],
        mix.protocol,
        skeleton=mix.skeleton,
    )
    assert scores_by_source(mix.subset(range(5)), others) == {}, "one source"
    gathered, stats = SharedScoring(mix, ValidationOptions(images=0), Ranks(torch.device("cpu"))).gather(
        others
    )
    assert gathered == others
    together = {"AP", *(f"AP/{source}" for source in scores)}
    assert together | {"AR"} == set(followed(stats))
    assert stats["AP/crowd"] == scores["crowd"]["AP"]


def test_what_a_mix_is_covers_all_sources(sources):
    options = mixed(sources)
    mark = open_split(options, "train").fingerprint()
    kept = data_from(json.loads(json.dumps(asdict(options))))
    assert open_split(kept, "train").fingerprint() == mark
    assert open_split(mixed(sources, "crowd", "coco", "mpii"), "train").fingerprint() != mark
    fewer = {**sources, "mpii": replace(sources["mpii"], joints={"pelvis": None})}
    assert open_split(mixed(fewer), "train").fingerprint() != mark


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s: {"coco": replace(s["coco"], root="nowhere")},
            "source coco of the mix: data folder nowhere",
        ),
        (lambda s: {name: replace(one, val_split=None) for name, one in s.items()}, "has a val split"),
        (
            lambda s: {"mpii": replace(s["mpii"], joints={"thorax": "head"})},
            r"source mpii of the mix: head_top could be more than one joint.*r_ankle.*left_shoulder",
        ),
        (
            lambda s: {"coco": replace(s["coco"], joints={"left_eye": None})},
            r"data\.sources\.coco\.joints leaves out left_eye, but not right_eye, its mirror",
        ),
        (
            lambda s: {"mpii": replace(s["mpii"], joints={"thorax": "pelvis"})},
            r"data\.sources\.mpii\.joints makes both pelvis and thorax 'pelvis'",
        ),
        (
            lambda s: {"mpii": replace(s["mpii"], joints={"chest": None})},
            r"data\.sources\.mpii\.joints names 'chest'.*r_ankle",
        ),
    ],
)
def test_bad_mixes_are_refused_in_one_line(sources, change, told):
    with pytest.raises(InputError, match=told) as caught:
        open_split(mixed({**sources, **change(sources)}), "val")
    assert "\n" not in str(caught.value)


def test_names_of_joints_that_do_not_fit_are_refused_with_both_lists(sources, tmp_path):
    with pytest.raises(
        InputError, match=r"'crowdpose' of the mix lacks.*pelvis, thorax.*r_ankle.*left_shoulder"
    ):
        open_split(mixed(sources, "crowd", "mpii", skeleton="crowdpose"), "train")
    (tmp_path / "hand.yaml").write_text("joints: [thumb, palm]\nsigmas: [0.1, 0.1]\n")
    hands = MixSource(root=str(tmp_path), skeleton=str(tmp_path / "hand.yaml"))
    with pytest.raises(
        InputError, match=r"source hand of the mix shares no joint.*thumb, palm.*left_shoulder"
    ):
        open_split(mixed({**sources, "hand": hands}), "train")
    with pytest.raises(InputError, match=r"data\.skeleton=union is for a mix"):
        open_split(DataOptions(skeleton="union"), "train")
    with pytest.raises(InputError, match=r"data\.sources: 'a/b' is no name"):
        DataOptions(sources={"a/b": hands})
    with pytest.raises(InputError, match=r"data\.root=x says nothing of a mix: give data\.sources\.b\.root"):
        DataOptions("x", sources={"b": hands})
