"""Scores: the golden CrowdPose metrics, pycocotools' COCO metrics, empty and broken input."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pose_cases
import pytest

from supernet.errors import InputError
from supernet.pose import Skeleton, score

GOLDEN = Path(__file__).parents[2] / "golden"
GT, DT = GOLDEN / "crowdpose_open_gt.json.gz", GOLDEN / "crowdpose_open_dt.json.gz"
METRICS = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
CROWDPOSE, COCO = Skeleton.load("crowdpose"), Skeleton.load("coco")


def coco_metrics(truth: dict[str, Any], found: list[dict[str, Any]]) -> list[float]:
    """What pycocotools' own summarize gives."""
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gt = Dataset()
        gt.dataset = json.loads(json.dumps(truth))
        gt.createIndex()
        evaluator = COCOeval(gt, gt.loadRes(json.loads(json.dumps(found))), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def test_golden_metrics() -> None:
    expected = json.loads((GOLDEN / "crowdpose_open_stats.json").read_text())
    stats = score(GT, DT)
    assert tuple(stats) == METRICS
    for name in METRICS:
        assert stats[name] == pytest.approx(expected[name], abs=1e-9), name


def test_golden_metrics_do_not_depend_on_order_of_images_or_form() -> None:
    import gzip

    truth, found = (json.loads(gzip.decompress(path.read_bytes())) for path in (GT, DT))
    before = json.dumps([truth, found])
    stats = score(truth, found)
    assert json.dumps([truth, found]) == before  # nothing of the caller's is changed
    truth["images"].reverse()
    assert score(truth, found) == stats


@pytest.mark.parametrize("seed", range(4))
def test_coco_equals_pycocotools_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = pose_cases.annotations(rng, COCO)
    found = pose_cases.detections(rng, truth)
    names = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
    expected = dict(zip(names, coco_metrics(truth, found), strict=True))
    assert 0 < expected["AP"] < 1
    assert score(truth, found, "coco") == expected
    assert score(truth, found, "coco", scorer="pycocotools") == expected


def test_own_layout_and_sigmas() -> None:
    rng = np.random.default_rng(5)
    layout = Skeleton("pair", ("a", "b"), (0, 1), (0.05, 0.1), ((0, 1),), (0, 1))
    truth = pose_cases.annotations(rng, layout)
    found = pose_cases.detections(rng, truth)
    faster = score(truth, found, "coco", skeleton=layout)
    assert faster == score(truth, found, "coco", scorer="pycocotools", skeleton=layout)
    looser = Skeleton("pair", ("a", "b"), (0, 1), (0.5, 1.0), ((0, 1),), (0, 1))
    assert score(truth, found, "coco", skeleton=looser)["AP"] > faster["AP"]


def test_no_detections_and_nobody_to_find() -> None:
    truth = pose_cases.annotations(np.random.default_rng(1), CROWDPOSE, images=40)
    assert score(truth, []) == dict.fromkeys(METRICS, 0.0)
    assert score({**truth, "annotations": []}, []) == dict.fromkeys(METRICS, -1.0)
    assert set(score({**truth, "annotations": []}, [], "coco").values()) == {-1.0}
    assert set(score(pose_cases.annotations(np.random.default_rng(1), COCO), [], "coco").values()) == {0.0}
    lone = [{"image_id": 3, "keypoints": [1.0] * 42, "score": 0.5}]
    assert score({**truth, "annotations": []}, lone) == dict.fromkeys(METRICS, -1.0)


def test_images_without_crowd_index_have_no_subsets() -> None:
    rng = np.random.default_rng(2)
    truth = pose_cases.annotations(rng, CROWDPOSE)
    found = pose_cases.detections(rng, truth)
    whole = score(truth, found)
    for image in truth["images"]:
        del image["crowdIndex"]
    stats = score(truth, found)
    assert [stats[name] for name in METRICS[6:]] == [-1.0] * 3
    assert [stats[name] for name in METRICS[:6]] == [whole[name] for name in METRICS[:6]]
    truth["images"][0]["crowdIndex"] = 0.5
    with pytest.raises(InputError, match="only 1 of 12 images"):
        score(truth, found)


def test_an_annotation_id_of_zero_is_scored_like_any_other() -> None:
    rng = np.random.default_rng(3)
    truth = pose_cases.annotations(rng, CROWDPOSE)
    found = pose_cases.detections(rng, truth)
    stats = score(truth, found)
    for number, record in enumerate(truth["annotations"]):
        record["id"] = number
    assert score(truth, found) == stats


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    score(GT, DT)
    rng = np.random.default_rng(0)
    truth = pose_cases.annotations(rng, COCO)
    for scorer in ("auto", "pycocotools"):
        score(truth, pose_cases.detections(rng, truth), "coco", scorer=scorer)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def broken(change: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    truth = pose_cases.annotations(rng, CROWDPOSE)
    found = pose_cases.detections(rng, truth)
    person, first = truth["annotations"][0], found[0]
    match change:
        case "unknown image":
            first["image_id"] = 77
        case "joints":
            first["keypoints"] = first["keypoints"][:-3]
        case "nan":
            first["keypoints"][0] = float("nan")
        case "text":
            first["keypoints"][0] = "x"
        case "score":
            first["score"] = float("inf")
        case "no score":
            del first["score"]
        case "category":
            first["category_id"] = 2
        case "object":
            found[0] = 5
        case "list":
            found = {"results": found}
        case "truth joints":
            person["keypoints"] = person["keypoints"] * 2
        case "truth image":
            person["image_id"] = 77
        case "truth box":
            del person["bbox"]
        case "truth twice":
            truth["images"].append(dict(truth["images"][0]))
        case "number as text":
            found[0]["keypoints"][0] = "32.84"
        case "keypoints in lists":
            found[0]["keypoints"] = [[value] for value in found[0]["keypoints"]]
        case "huge":
            found[0]["keypoints"][0] = 10**30
        case "truth crowd":
            truth["annotations"][0]["iscrowd"] = float("inf")
        case "truth box in lists":
            person["bbox"][3] = person["keypoints"]
        case "truth box short":
            person["bbox"] = person["bbox"][:3]
        case "truth area":
            person["area"] = "large"
        case "truth count":
            person["num_keypoints"] = None
        case "truth crowd index":
            truth["images"][0]["crowdIndex"] = [0.5]
        case "truth form":
            truth = {"images": []}
        case "truth id":
            truth["images"][0]["id"] = "abc"
        case "truth categories":
            truth["categories"].append({"id": 2})
        case "truth categories number":
            truth["categories"] = 33
        case "truth category":
            truth["categories"] = [{"name": "person"}]
        case "truth category of a person":
            person["category_id"] = [1]
    return truth, found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("unknown image", "image 77, which the ground truth does not list"),
        ("joints", "has 39 keypoint values; skeleton 'crowdpose' needs 42"),
        ("nan", "not finite"),
        ("text", "not finite numbers"),
        ("number as text", "not finite numbers"),
        ("keypoints in lists", "not finite numbers"),
        ("huge", "not finite numbers"),
        ("score", "must be finite"),
        ("no score", "has no 'score'"),
        ("category", "category 2; the ground truth has 1"),
        ("object", "entry 0 is no object"),
        ("list", "must be a list"),
        ("truth joints", "has 84 keypoint values"),
        ("truth image", "image 77, which is not listed"),
        ("truth box", "has no 'bbox', which the protocol needs"),
        ("truth twice", "same image id twice"),
        ("truth crowd", "iscrowd is inf, not 0 or 1"),
        ("truth box in lists", "bbox that is not x, y, width, height"),
        ("truth box short", "bbox that is not x, y, width, height"),
        ("truth area", "area is 'large', not a finite number"),
        ("truth count", "num_keypoints is None, not a finite number"),
        ("truth crowd index", r"crowdIndex is \[0\.5\], not a finite number"),
        ("truth form", "lists 'images' and 'annotations'"),
        ("truth id", "'abc', not a whole number"),
        ("truth categories", "must have one category"),
        ("truth categories number", "categories are 33, not a list"),
        ("truth category", "category 0 has no 'id'"),
        ("truth category of a person", r"one category; it lists \[1\] and uses \[1\]"),
    ],
)
def test_broken_input_is_named(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        score(*broken(change))
    assert "\n" not in str(caught.value)


def test_broken_files_and_options(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('[{"image_id": 1, "keyp')
    with pytest.raises(InputError, match=r"cut\.json is not valid JSON"):
        score(GT, tmp_path / "cut.json")
    with pytest.raises(InputError, match="does not exist"):
        score(tmp_path / "nowhere.json", DT)
    with pytest.raises(InputError, match="protocol 'mpii' is not known"):
        score(GT, DT, "mpii")
    with pytest.raises(InputError, match="unknown scorer"):
        score(GT, DT, scorer="mine")
    with pytest.raises(InputError, match="unknown scorer 'crowdposetools'"):
        score(GT, DT, "coco", scorer="crowdposetools")
    with pytest.raises(InputError, match="crowdposetools is not installed"):
        score(GT, DT, scorer="crowdposetools")


class FakeEval:
    """Stands where crowdposetools' COCOeval would."""

    def __init__(self, gt: str, dt: tuple[str, str], iou_type: str) -> None:
        assert iou_type == "keypoints"
        assert dt[0] == gt
        self.truth, self.found = (json.loads(Path(path).read_text()) for path in dt)

    def evaluate(self) -> None:
        print("chatter")

    accumulate = evaluate

    def summarize(self) -> None:
        self.stats = np.array([len(self.truth["images"]), len(self.found), *range(7)], float)


@pytest.mark.parametrize("scorer", ["auto", "crowdposetools"])
def test_crowdposetools_is_used_when_there(
    scorer: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class FakeCoco(str):
        def loadRes(self, path: str) -> tuple[str, str]:
            return str(self), path

    install(monkeypatch, FakeCoco, FakeEval)
    stats = score(GT, DT, scorer=scorer)
    assert list(stats.values()) == [160, 1406, 0, 1, 2, 3, 4, 5, 6]
    assert capfd.readouterr().out == ""


def test_crowdposetools_that_does_not_run_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Outdated:
        def __init__(self, *_: object) -> None:
            raise AttributeError("module 'numpy' has no attribute 'float'")

    install(monkeypatch, Outdated, FakeEval)
    with pytest.warns(UserWarning, match="faster-coco-eval scores instead"):
        stats = score(GT, DT)
    assert stats["AP"] == pytest.approx(0.28228651172344016, abs=1e-12)


def install(monkeypatch: pytest.MonkeyPatch, dataset: type, evaluator: type) -> None:
    package = types.ModuleType("crowdposetools")
    package.__spec__ = types.SimpleNamespace(name="crowdposetools")  # type: ignore[assignment]
    package.__path__ = []
    modules = {"coco": {"COCO": dataset}, "cocoeval": {"COCOeval": evaluator}}
    monkeypatch.setitem(sys.modules, "crowdposetools", package)
    for name, content in modules.items():
        module = types.ModuleType(f"crowdposetools.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, f"crowdposetools.{name}", module)


def test_perfect_predictions_on_the_real_annotations(shared: Path) -> None:
    from experiments.pose.perfect import perfect_detections, summary

    truth = json.loads((shared / "data/crowdpose/json/crowdpose_val.json").read_text())
    known = summary(truth)
    assert known["images"] == 2000
    assert known["people"] == 8527
    assert known["scored"] == 7074
    assert (known["easy"], known["medium"]) == (411, 1240)
    assert known["hard"] == 349
    assert score(truth, perfect_detections(truth)) == dict.fromkeys(METRICS, 1.0)
