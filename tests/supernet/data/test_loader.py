import atexit
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from supernet.data import (
    AugmentOptions,
    BatchPlan,
    DataOptions,
    Loader,
    LoaderOptions,
    load_crowdpose,
    normalise,
    open_dataset,
)
from supernet.data.annotations.records import Record
from supernet.data.dataset import FEW, labelled_joints
from supernet.data.images.decode import decode_threads
from supernet.data.plan import step_resolution
from supernet.errors import InputError
from supernet.heads.embedding import EMBEDDING

RESOLUTIONS = (32, 48, 64)
PHOTOGRAPHS = AugmentOptions(
    mosaic=0.6, brightness=0.2, contrast=0.2, saturation=0.2, hue=10, grey=0.2, blur=1.5, jpeg=0.3
)


def tensors(batch):
    """What a step trains on, by name."""
    targets = EMBEDDING.targets(batch, 2.0)
    names = ("quarter", "half")
    heats = {f"heats_{name}": heat for name, heat in zip(names, targets.heats, strict=True)}
    masks = {f"masks_{name}": mask for name, mask in zip(names, targets.masks, strict=True)}
    return {"images": batch.images, **heats, **masks, "joints": targets.joints, "image_ids": batch.image_ids}


def digest(batch):
    state = hashlib.sha256(repr((batch.step, batch.resolution)).encode())
    for name, tensor in sorted(tensors(batch).items()):
        state.update(name.encode() + str(tensor.shape).encode() + tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def digests(dataset, start, stop, batch_size=4, **more):
    with Loader(dataset, LoaderOptions(batch_size=batch_size, seed=5), RESOLUTIONS, **more) as loader:
        return [digest(batch) for batch in loader.batches(start, stop)]


def test_shapes_types_and_one_resolution_a_step(crowdpose_root):
    loader = Loader(load_crowdpose(crowdpose_root, "train"), LoaderOptions(3), RESOLUTIONS)
    seen = set()
    for step, batch in enumerate(loader.batches(0, 12)):
        side = batch.resolution
        seen.add(side)
        assert (batch.step, side) == (step, loader.resolution(step))
        shapes = {name: (tuple(t.shape), t.dtype) for name, t in tensors(batch).items()}
        assert shapes == {
            "images": ((3, side, side, 3), torch.uint8),
            "heats_quarter": ((3, 14, side // 4, side // 4), torch.float32),
            "heats_half": ((3, 14, side // 2, side // 2), torch.float32),
            "masks_quarter": ((3, side // 4, side // 4), torch.float32),
            "masks_half": ((3, side // 2, side // 2), torch.float32),
            "joints": ((3, 30, 14, 3), torch.int64),
            "image_ids": ((3,), torch.int64),
        }
        targets = EMBEDDING.targets(batch, 2.0)
        b, _, j = torch.nonzero(targets.joints[..., 2], as_tuple=True)
        x, y = targets.joints[targets.joints[..., 2] > 0][:, :2].unbind(1)
        assert (targets.heats[0][b, j, y, x] >= np.exp(-1 / 16) - 1e-6).all()
        assert batch.to("cpu").resolution == side
    assert seen == set(RESOLUTIONS)


@pytest.mark.parametrize("mirrored", [0.0, 1.0])
def test_joints_that_a_source_never_labels_are_told_also_in_mirrored_crops(crowdpose_root, mirrored):
    """Source a never labels left ankles: in its mirrored crops it is the right ones that nobody knows of."""
    path = crowdpose_root / "json/crowdpose_train.json"
    document = json.loads(path.read_text())
    images = {image["id"]: image for image in document["images"]}
    for image in images.values():
        image["source"] = "ab"[image["id"] % 2]
    document["annotations"] = [
        {**person, "id": FEW * person["id"] + copy, "keypoints": list(person["keypoints"])}
        for person in document["annotations"]
        for copy in range(FEW)
    ]
    for person in document["annotations"]:
        if images[person["image_id"]]["source"] == "a":
            person["keypoints"][3 * 10 : 3 * 10 + 3] = [0, 0, 0]
    path.write_text(json.dumps(document))
    dataset = load_crowdpose(crowdpose_root, "train")
    assert np.flatnonzero(~dataset.labelled["a"]).tolist() == [10]
    assert dataset.labelled["b"].all()
    batch = Loader(dataset, LoaderOptions(10), (32,), augment=AugmentOptions(flip=mirrored)).batch(0)
    unknown = 11 if mirrored else 10
    expected = [[j != unknown or image_id % 2 for j in range(14)] for image_id in batch.image_ids.tolist()]
    assert batch.labelled.tolist() == expected
    assert torch.equal(EMBEDDING.targets(batch, 2.0).labelled, batch.labelled.float())


def test_few_people_do_not_tell_what_their_source_never_labels():
    def record(source, people, joints):
        keypoints = np.zeros((people, 3, 3))
        keypoints[:, joints, 2] = 2
        empty = np.zeros(0, np.int64)
        return Record(
            1, "", 9, 9, 0.0, keypoints, np.zeros((people, 4)), empty, empty, empty, empty, source=source
        )

    records = [
        record("many", FEW - 1, [0]),
        record("many", 1, [0]),
        record("few", FEW - 1, [1]),
        record("no", 0, []),
    ]
    found = {source: known.tolist() for source, known in labelled_joints(records, 3).items()}
    together = [True, True, False]
    assert found == {"many": [True, False, False], "few": together, "no": together}
    assert labelled_joints(records[-1:], 3)["no"].all(), "where there is nobody, no joint is"


@pytest.mark.parametrize("augment", [None, PHOTOGRAPHS])
def test_content_does_not_depend_on_the_workers(crowdpose_root, augment):
    dataset = load_crowdpose(crowdpose_root, "train")
    alone = digests(dataset, 0, 6, augment=augment)
    assert len(set(alone)) == 6
    assert digests(dataset, 0, 6, workers=1, start_method="fork", augment=augment) == alone
    assert digests(dataset, 0, 6, workers=2, start_method="fork", augment=augment) == alone
    assert digests(dataset, 3, 6, augment=augment) == alone[3:]
    cached = open_dataset(DataOptions(root=str(crowdpose_root), cache="memory"), "train")
    before = {key: image.copy() for key, image in cached.cached.items()}
    assert digests(cached, 0, 6, augment=augment) == alone
    assert all(np.array_equal(image, before[key]) for key, image in cached.cached.items())


def test_content_does_not_depend_on_how_workers_start(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    assert digests(dataset, 0, 2, workers=1, start_method="spawn") == digests(dataset, 0, 2)


def test_ranks_share_the_one_process_batch(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    options = LoaderOptions(batch_size=4, seed=5)
    whole = list(Loader(dataset, options, RESOLUTIONS).batches(0, 6))
    parts = [list(Loader(dataset, options, RESOLUTIONS, rank=r, world=2).batches(0, 6)) for r in range(2)]
    for step, batch in enumerate(whole):
        for name, tensor in tensors(batch).items():
            union = torch.cat([tensors(parts[r][step])[name] for r in range(2)])
            assert torch.equal(union, tensor), name


def test_resuming_at_any_step_repeats_the_rest(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    straight = digests(dataset, 0, 7)
    assert digests(dataset, 4, 7) == straight[4:]
    loader = Loader(dataset, LoaderOptions(batch_size=4, seed=5), RESOLUTIONS, workers=1, start_method="fork")
    first = [digest(b) for b in loader.batches(0, 3)]
    pids = [w.pid for w in loader._loader._iterator._workers]
    assert first + [digest(b) for b in loader.batches(3, 7)] == straight
    assert [w.pid for w in loader._loader._iterator._workers] == pids, "workers must persist"
    assert digest(loader.batch(5)) == straight[5]
    loader.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stopping_in_the_middle_leaves_nothing_behind(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    straight = digests(dataset, 0, 6)
    with Loader(dataset, LoaderOptions(4, seed=5), RESOLUTIONS, workers=2, start_method="fork") as loader:
        for batch in loader.batches(0, 20):
            if batch.step == 1:
                break
        assert [digest(batch) for batch in loader.batches(2, 6)] == straight[2:]


def test_workers_leave_a_signal_to_the_whole_job_to_its_first_process(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    straight = digests(dataset, 0, 6)
    with Loader(dataset, LoaderOptions(4, seed=5), RESOLUTIONS, workers=1, start_method="fork") as loader:
        batches = loader.batches(0, 6)
        found = [digest(next(batches))]
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(loader._loader._iterator._workers[0].pid, number)
        assert found + [digest(batch) for batch in batches] == straight


KILL_A_WORKER = """
import os, signal, sys
from supernet.data import Loader, LoaderOptions, load_crowdpose
loader = Loader(load_crowdpose(sys.argv[1], "train"), LoaderOptions(4), (32,), workers=1)
batches = loader.batches(0, 10**6)
next(batches)
os.kill(loader._loader._iterator._workers[0].pid, signal.SIGKILL)
for batch in batches:
    pass
"""


def test_a_killed_worker_is_an_error_and_no_hang(crowdpose_root):
    """In a process of its own, for torch reports the death from a signal handler, wherever that strikes."""
    command = [sys.executable, "-c", KILL_A_WORKER, str(crowdpose_root)]
    root = Path(__file__).parents[3]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=root)
    assert ended.returncode == 1
    assert "a data worker was killed or ended by itself" in ended.stderr


class Silent:
    """Makes no batch, for ever."""

    def __call__(self, step, resolution):
        time.sleep(1000)


def test_a_silent_worker_ends_in_one_line(crowdpose_root):
    options = LoaderOptions(batch_size=4, patience=0.5)
    with Loader(load_crowdpose(crowdpose_root, "train"), options, (32,), workers=1) as loader:
        loader._loader.dataset._make = Silent()
        with pytest.raises(InputError, match=r"a data worker fell silent .*timed out after 0\.5 seconds"):
            list(loader.batches(0, 2))


def test_workers_are_not_forked_from_a_process_with_threads(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")

    def method():
        context = Loader(dataset, LoaderOptions(4), (32,), workers=1)._loader.multiprocessing_context
        return context and context.get_start_method()

    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert method() == "spawn"
    finally:
        end.set()
        thread.join()


class Torn:
    """Makes no batch; tells by a file that the Python it was sent to is torn down."""

    def __init__(self, told):
        self.told = told

    def __setstate__(self, state):
        self.told = state["told"]
        atexit.register(self.told.touch)

    def __call__(self, step, resolution):
        raise InputError("no batch")


def test_a_spawned_worker_ends_without_an_end_of_python(crowdpose_root, tmp_path):
    dataset = load_crowdpose(crowdpose_root, "train")
    loader = Loader(dataset, LoaderOptions(batch_size=4), (32,), workers=1, start_method="spawn")
    loader._loader.dataset._make = Torn(tmp_path / "torn")
    with pytest.raises(InputError, match="no batch"):
        list(loader.batches(0, 2))
    assert not (tmp_path / "torn").exists(), "its thread that sends batches would abort it now and then"


def test_decode_threads_are_gone_from_the_system():
    before = set(os.listdir("/proc/self/task"))
    with decode_threads(4) as pool:
        list(pool.map(lambda _: cv2.resize(np.zeros((64, 64, 3), np.uint8), (32, 32)), range(64)))
        assert set(os.listdir("/proc/self/task")) - before
    assert set(os.listdir("/proc/self/task")) <= before


def test_the_callers_random_streams_are_left_alone(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    for workers in (0, 1):
        digests(dataset, 0, 1, workers=workers)
    assert torch.equal(torch.rand(3), expected)


def test_every_pass_sees_every_image_once_in_a_new_order():
    plan = BatchPlan(10, 4, seed=1)
    draws = [draw for step in range(10) for draw in plan.draws(step)]
    orders = [[d.index for d in draws if d.epoch == epoch] for epoch in range(4)]
    assert [d.epoch for d in draws] == [epoch for epoch in range(4) for _ in range(10)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert plan.steps_per_epoch == 3
    assert plan.epoch(5) == 2.0
    assert [d.index for d in BatchPlan(10, 4, seed=2).draws(0)] != [d.index for d in plan.draws(0)]
    assert len(BatchPlan(3, 8).draws(0)) == 8, "a batch may be larger than the data set"


def test_augmentation_differs_by_epoch_and_image():
    plan = BatchPlan(5, 5, seed=1)
    values = [plan.rng(draw).random() for step in range(4) for draw in plan.draws(step)]
    assert len(set(values)) == 20


def test_resolutions_are_uniform_over_the_choices():
    drawn = [step_resolution(3, step, (256, 320, 384)) for step in range(900)]
    assert all(abs(drawn.count(side) - 300) < 60 for side in (256, 320, 384))


def test_a_callable_gives_the_resolution(crowdpose_root):
    loader = Loader(load_crowdpose(crowdpose_root, "train"), LoaderOptions(2), lambda step: 32 + 16 * step)
    assert [batch.images.shape[1] for batch in loader.batches(0, 3)] == [32, 48, 64]


def test_normalise(crowdpose_root):
    batch = Loader(load_crowdpose(crowdpose_root, "train"), LoaderOptions(batch_size=2), (32,)).batch(0)
    ready = normalise(batch.images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((batch.images / 255.0 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(ready, expected, rtol=1e-5, atol=1e-6)
    assert ready.shape == (2, 3, 32, 32)
    assert ready.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_while_training(crowdpose_root, workers):
    whole = load_crowdpose(crowdpose_root, "train")
    broken = whole.records[0].image_id
    path = crowdpose_root / "images" / f"{broken}.jpg"
    path.write_bytes(path.read_bytes()[:-200])  # the header is whole, so only decoding can tell
    with pytest.raises(InputError, match=rf"{broken}\.jpg .*truncated") as caught:
        digests(load_crowdpose(crowdpose_root, "train"), 0, 5, workers=workers)
    assert "\n" not in str(caught.value)

    dataset = load_crowdpose(crowdpose_root, "train", on_error="skip")
    loader = Loader(dataset, LoaderOptions(batch_size=4, seed=5), RESOLUTIONS, workers=workers)
    seen = [image_id for batch in loader.batches(0, 10) for image_id in batch.image_ids.tolist()]
    loader.close()
    assert broken not in seen
    assert [s.record for s in loader.skipped] == [f"image {broken}"]
    assert digests(dataset, 0, 5, workers=workers) == digests(dataset, 0, 5)


def test_nothing_readable_is_an_error_and_no_hang(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train", on_error="skip")
    for path in (crowdpose_root / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no image of crowdpose-train can be read"):
        Loader(dataset, LoaderOptions(batch_size=2), RESOLUTIONS).batch(0)


def test_images_without_people_are_left_out_unless_asked_for(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    empty = [r.image_id for r in dataset.records if not (r.keypoints[..., 2] > 0).any()]
    assert empty
    loader = Loader(dataset, LoaderOptions(batch_size=2), RESOLUTIONS)
    assert not {r.image_id for r in loader.dataset.records} & set(empty)
    assert len(loader.dataset) + len(empty) == len(dataset)
    everything = Loader(dataset, LoaderOptions(batch_size=2, keep_empty=True), RESOLUTIONS)
    assert len(everything.dataset) == len(dataset)


def test_wrong_settings_are_refused(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    with pytest.raises(InputError, match="multiple of the 3 processes"):
        Loader(dataset, LoaderOptions(batch_size=4), RESOLUTIONS, world=3)
    with pytest.raises(InputError, match="resolution 40 of step 0 is not a multiple of 16"):
        Loader(dataset, LoaderOptions(batch_size=4), (40,)).batch(0)
    with pytest.raises(InputError, match="no training resolution"):
        Loader(dataset, LoaderOptions(batch_size=4), ())
    with pytest.raises(InputError, match="holds no image"):
        Loader(dataset.subset([]), LoaderOptions(batch_size=4), RESOLUTIONS)
    with pytest.raises(InputError, match="batch_size=0"):
        LoaderOptions(batch_size=0)
    with pytest.raises(InputError, match=r"data\.layout='x'"):
        DataOptions(layout="x")
