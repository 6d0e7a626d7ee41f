"""The page in real Chromium, with a camera that shows synthetic faces and the starter bundle.

In private mode the page only requests files from the server; both modes give the same answers.
"""

import base64
import contextlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, astuple

import httpx
import numpy as np
import onnx
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from pydantic import TypeAdapter
from tests.conftest import ROOT
from tests.support import browser, bundles, scenes
from tests.support.invalid_images import encoded
from tests.support.servers import answers, free_port, serving, unveil_server

from unveil.common.files import sha256
from unveil.inference import (
    bundle,
    decision,
    face_detector,
    face_following,
    face_network,
    picture_sizes,
)
from unveil.inference.bundle import Card
from unveil.inference.bundle_files import FILES
from unveil.inference.face_crop import Detection, Square
from unveil.inference.face_following import FollowedFaces
from unveil.inference.picture_sizes import MOVING
from unveil.serving import tokens

WAIT = 60_000  # milliseconds in which the page has to show something, on a busy machine
STARTER = ROOT / "models/starter"
SCENES = ROOT.parent / "shared/data/scenes"
NEAR = 0.005  # by how much a probability of the device may differ from the server's
expect.set_options(timeout=WAIT)

OPEN = "const {open, look} = await import('/static/unveil.js');"
LOOKED = f"""async ([pictures, isPrivate]) => {{
    {OPEN}
    const asker = await open({{private: isPrivate}});
    const answers = [];
    for (const picture of pictures) {{
        const bytes = Uint8Array.from(atob(picture), (one) => one.charCodeAt(0));
        answers.push((await look(await createImageBitmap(new Blob([bytes])), asker)).answer);
    }}
    asker.close();
    return answers;
}}"""
FOUND = """async ([pictures, reach, known = null]) => {
    const ort = await import('/static/vendor/onnxruntime-web/ort.wasm.min.mjs');
    const {detector} = await import('/static/face_detector.js');
    const {following} = await import('/static/face_following.js');
    const {detector: rules, following: steps} = await (await fetch('/v1/device')).json();
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create('/v1/device/detector.onnx');
    const run = async ({data, width, height}) => {
        const picture = new ort.Tensor('uint8', data, [1, height, width, 3]);
        const {scores, boxes, points} = await session.run({picture});
        return {scores: scores.data, boxes: boxes.data, points: points.data};
    };
    const finder = detector(run, rules);
    const follow = following(finder, reach, steps);
    const found = [];
    for (const {pixels, width, height} of pictures) {
        const bytes = Uint8ClampedArray.from(atob(pixels), (one) => one.charCodeAt(0));
        const frame = new ImageData(bytes, width, height);
        const near = known?.[found.length];
        if (near === 'follow') found.push(await follow(frame, found.length / 30));
        else if (near) found.push(await finder.near(frame, near, reach, steps.closeup));
        else found.push(await finder.everywhere(frame, reach));
    }
    return found;
}"""
NAMELESS = """() => [...document.querySelectorAll('button, input, a, video, [role]')].filter(
    (one) => one.checkVisibility() && !['status', 'alert'].includes(one.role) && !(one.ariaLabel
    || one.innerText || one.labels?.[0]?.innerText || one.alt)).map((one) => one.outerHTML)"""
FAINT = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255).map((part) =>
        part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (one) => {
        const colour = getComputedStyle(one).backgroundColor;
        return parts(colour)[3] === 0 ? ground(one.parentElement) : colour;
    };
    const texts = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility()
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return texts.map((one) => {
        const [high, low] = [getComputedStyle(one).color, ground(one)].map(light)
            .sort((a, b) => b - a);
        return [one.innerText, (high + 0.05) / (low + 0.05)];
    }).filter(([, ratio]) => ratio < 4.5);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def url(folder):
    with unveil_server(folder, STARTER) as given:
        yield given


@pytest.fixture(scope="module")
def chromium(folder):
    """Chromium with a fake camera that shows a moving synthetic face."""
    frames = [scenes.scene((200 + place, 120, 220)) for place in range(0, 40, 4)]
    film = scenes.camera(folder / "camera.y4m", frames)
    fake = ["use-fake-ui-for-media-stream", "use-fake-device-for-media-stream"]
    args = [f"--{name}" for name in (*fake, f"use-file-for-fake-video-capture={film}")]
    with browser.page(args=args) as (tab, _):
        yield tab.context.browser


class Sent:
    """Records the traffic of a page: methods and addresses of requests, and WebSockets."""

    def __init__(self, tab: Page) -> None:
        self.requests: list[tuple[str, str]] = []
        self.sockets: list[str] = []
        tab.on("request", lambda one: self.requests.append((one.method, one.url)))
        tab.on("websocket", lambda one: self.sockets.append(one.url))


@pytest.fixture
def opened(chromium: Browser):
    """A function that opens a page; errors of the page fail the test."""
    errors = []
    with contextlib.ExitStack() as stack:

        def open_page(address: str, **options) -> tuple[Page, Sent]:
            context = stack.enter_context(chromium.new_context(**options))
            tab = context.new_page()
            tab.on("pageerror", lambda error: errors.append(error))
            sent = Sent(tab)
            tab.goto(address)
            return tab, sent

        yield open_page
    assert errors == []


def seen_by_server(url: str) -> list[str]:
    """Return the server's metrics of faces, frames and predictions."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    work = re.compile(r"unveil_(faces|stream_frames|batch)|/v1/predict|/infer")
    return [line for line in lines if work.search(line) and not line.startswith("#")]


def pictures() -> list[bytes]:
    """Synthetic faces on backgrounds, small pictures that are only a face, and no face."""
    drawn = [scenes.scene((60, 40, 200), (400, 200, 160)), scenes.scene((150, 60, 300))]
    drawn += [scenes.drawn(number) for number in range(4)]
    drawn += [np.full((300, 400), 90, np.uint8), scenes.scene((30, 20, 150), size=(201, 333))]
    return [encoded(Image.fromarray(picture)) for picture in drawn]


def served(url: str, picture: bytes) -> dict:
    headers = {"content-type": "image/png"}
    return httpx.post(f"{url}/v1/predict", content=picture, headers=headers, timeout=60).json()


@pytest.mark.parametrize("is_private", [True, False], ids=["device", "server"])
def test_device_and_server_give_the_same_answers(url, opened, is_private):
    tab, _ = opened(url)
    given = [base64.b64encode(picture).decode() for picture in pictures()]
    answers = tab.evaluate(LOOKED, [given, is_private])
    for picture, answer in zip(pictures(), answers, strict=True):
        expected = served(url, picture)
        assert answer["reason"] == expected["reason"]
        for own, other in zip(answer["faces"], expected["faces"], strict=True):
            assert own["box"] == pytest.approx(other["box"], abs=1)  # a half rounded otherwise
            assert own["emotion"] == other["emotion"]
            assert own["probabilities"] == pytest.approx(other["probabilities"], abs=NEAR)


@pytest.mark.parametrize(
    "reach", [picture_sizes.STILL, picture_sizes.MOVING], ids=["still", "moving"]
)
def test_page_and_server_detect_the_same_faces(url, opened, reach):
    tab, _ = opened(url)
    generator, drawn = np.random.default_rng(0), []
    for number in range(8):
        side = int(generator.integers(110, 300))
        x, y = int(generator.integers(0, 520 - side)), int(generator.integers(0, 333 - side))
        drawn.append(scenes.scene((x, y, side), number=number * 4, size=(333, 520)))
    expected = [face_detector.detector(reach)(picture) for picture in drawn]
    assert sum(map(len, expected)) >= 4
    assert_same(tab.evaluate(FOUND, [list(map(rgba, drawn)), asdict(reach)]), expected)


def moved(step: int) -> np.ndarray:
    """A frame of a film with two faces; in one frame the second face is away."""
    places = [(60 + 9 * step, 80, 150), (330, 40 + 6 * step, 120)]
    return scenes.scene(*places[: 1 if step == 6 else 2], size=(333, 520))


def test_page_and_server_see_a_known_face_at_the_same_place(url, opened):
    tab, _ = opened(url)
    frames = [moved(step) for step in range(8)]
    squares = [Square(125 + 9 * step, 150 + step, 100 + 4 * step, 3.0) for step in range(8)]
    moving, closeup = face_detector.detector(MOVING), face_following.CLOSEUP
    expected = [moving.near(*one, closeup) for one in zip(frames, squares, strict=True)]
    assert any(expected)
    given = [list(map(rgba, frames)), asdict(MOVING), [astuple(one) for one in squares]]
    for own, other in zip(tab.evaluate(FOUND, given), expected, strict=True):
        assert own == (other and pytest.approx(astuple(other), abs=0.5))


def test_page_and_server_follow_the_same_faces_through_a_video(url, opened):
    tab, _ = opened(url)
    frames = [moved(step) for step in range(12)]
    moving, followed, expected = face_detector.detector(MOVING), FollowedFaces(), []
    for step, picture in enumerate(frames):
        found = face_following.detect(moving, picture, followed.near(step / 30))
        followed.update(found)
        expected.append(found)
    assert {len(one) for one in expected} == {1, 2}
    found = tab.evaluate(FOUND, [list(map(rgba, frames)), asdict(MOVING), ["follow"] * 12])
    for own, other in zip(found, expected, strict=True):
        assert len(own) == len(other)
        for face, one in zip(own, other, strict=True):
            # Where a face is searched for depends on the frame before: half a pixel becomes more.
            assert face["square"][:2] == pytest.approx((one.square.x, one.square.y), abs=10)


@pytest.mark.skipif(not SCENES.exists(), reason="the scenes are not here")
@pytest.mark.parametrize(
    "reach", [picture_sizes.STILL, picture_sizes.MOVING], ids=["still", "moving"]
)
def test_page_and_server_detect_the_same_faces_of_real_scenes(url, opened, reach):
    tab, _ = opened(url)
    shown = [np.asarray(Image.open(path)) for path in sorted(SCENES.glob("*.jpg"))]
    expected = [face_detector.detector(reach)(picture) for picture in shown]
    assert sum(map(len, expected)) >= 26
    assert_same(tab.evaluate(FOUND, [list(map(rgba, shown)), asdict(reach)]), expected)


def rgba(picture: np.ndarray) -> dict:
    """A picture as the values of an ImageData."""
    content = np.asarray(Image.fromarray(picture).convert("RGBA")).tobytes()
    height, width = picture.shape[:2]
    return {"pixels": base64.b64encode(content).decode(), "width": width, "height": height}


def assert_same(pages: list[list[dict]], servers: list[list[Detection]]) -> None:
    """The squares agree within half a pixel and half a degree; each side of a box is rounded."""
    for own, other in zip(pages, servers, strict=True):
        assert [face["square"] for face in own] == [
            pytest.approx(astuple(one.square), abs=0.5) for one in other
        ]
        assert [face["box"] for face in own] == [pytest.approx(one.box, abs=2) for one in other]


def started(tab: Page) -> None:
    tab.locator("#camera").click()
    expect(tab.locator("#rate")).to_have_text(re.compile(r"^\d"))


def colours(tab: Page) -> int:
    """Count the colours of the overlay."""
    return tab.evaluate(
        """() => {
        const canvas = document.getElementById('overlay');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }"""
    )


def test_in_private_mode_no_pixel_leaves_the_page(url, opened):
    before = seen_by_server(url)
    tab, sent = opened(url)
    started(tab)
    expect(tab.locator("#where")).to_have_text("this device")
    expect(tab.locator("#answer")).to_have_text(re.compile("happy|neutral|sad|surprise|unsure"))
    boxes = colours(tab)
    tab.locator("#explain").click()
    expect(tab.locator("#legend")).to_be_visible()
    deadline = time.monotonic() + WAIT / 1000
    while colours(tab) < boxes + 50:
        assert time.monotonic() < deadline, "no saliency map"
    tab.locator("#camera").click()
    assert {method for method, _ in sent.requests} == {"GET"}
    addresses = {address for _, address in sent.requests}
    # The requests of the worker thread are recorded, too.
    assert f"{url}/v1/device/model.onnx" in addresses
    assert [address for address in addresses if not address.startswith(url)] == []
    assert [address for address in addresses if "?" in address or len(address) > 150] == []
    assert sent.sockets == []
    assert seen_by_server(url) == before
    assert "connect-src 'self'" in httpx.get(url).headers["content-security-policy"]


def test_without_private_mode_the_server_answers_the_camera(url, opened):
    tab, sent = opened(url)
    tab.locator("#private").uncheck()
    started(tab)
    expect(tab.locator("#where")).to_have_text("the server")
    expect(tab.locator("#count")).to_have_text("1")
    assert len(sent.sockets) == 1
    tab.locator("#private").check()
    expect(tab.locator("#where")).to_have_text("this device")
    expect(tab.locator("#rate")).to_have_text(re.compile(r"^\d"))
    before = seen_by_server(url)
    assert 'unveil_stream_frames_total{outcome="answered"}' in "".join(before)
    frames = tab.locator("#rate").inner_text()
    expect(tab.locator("#rate")).not_to_have_text(frames)
    assert seen_by_server(url) == before
    assert len(sent.sockets) == 1


def test_a_browser_without_simd_is_told_so_and_can_use_the_server(url, opened):
    tab, sent = opened(url)
    tab.evaluate("WebAssembly.validate = () => false")
    tab.locator("#camera").click()
    alert = tab.get_by_role("alert")
    expect(alert).to_contain_text("private mode needs WebAssembly with SIMD")
    expect(alert).to_contain_text("Turn private mode off to process pictures on the server")
    assert sent.sockets == []
    tab.locator("#private").uncheck()
    started(tab)
    expect(tab.locator("#where")).to_have_text("the server")
    expect(alert).to_be_hidden()


def test_a_chosen_picture_is_shown_with_texts_and_bars(url, opened, tmp_path):
    tab, _ = opened(url)
    face, wall = tmp_path / "face.png", tmp_path / "wall.png"
    Image.fromarray(scenes.scene((150, 60, 300))).save(face)
    Image.fromarray(np.full((300, 400), 90, np.uint8)).save(wall)
    tab.locator("#file").set_input_files(face)
    expect(tab.get_by_role("meter")).to_have_count(4)
    expected = served(url, face.read_bytes())["faces"][0]["probabilities"]
    for name, value in expected.items():
        meter = tab.get_by_role("meter", name=name)
        # Rounding may fall on either side of a half.
        near = {f"{(value + by) * 100:.0f} percent" for by in (-NEAR, 0, NEAR)}
        expect(meter).to_have_attribute("aria-valuetext", re.compile("|".join(near)))
    tab.locator("#file").set_input_files(wall)
    expect(tab.locator("#answer")).to_have_text("no face")
    expect(tab.get_by_role("status")).to_have_text(re.compile("no face"))
    (tmp_path / "text.png").write_text("no picture")
    tab.locator("#file").set_input_files(tmp_path / "text.png")
    expect(tab.get_by_role("alert")).to_contain_text("cannot read this file as a picture")
    # The server could not read the file either.
    expect(tab.get_by_role("alert")).not_to_contain_text("process pictures on the server")


def faces_counted(url: str) -> float:
    lines = [line for line in seen_by_server(url) if line.startswith("unveil_faces_total")]
    return sum(float(line.split()[-1]) for line in lines)


def test_device_and_server_give_the_same_saliency_map(url, opened):
    tab, _ = opened(url)
    before = faces_counted(url)
    maps = tab.evaluate(
        """async (picture) => {
        const {open, look, saliencyMap, leansOn} = await import('/static/unveil.js');
        const bytes = Uint8Array.from(atob(picture), (one) => one.charCodeAt(0));
        const maps = [];
        for (const isPrivate of [true, false]) {
            const asker = await open({private: isPrivate});
            const bitmap = await createImageBitmap(new Blob([bytes]));
            const {answer, frame} = await look(bitmap, asker);
            const computed = isPrivate ? saliencyMap : leansOn;  // leansOn: the old name
            maps.push(await computed(frame, answer.faces[0], asker));
            asker.close();
        }
        return maps;
    }""",
        base64.b64encode(pictures()[1]).decode(),
    )
    assert len(maps[0]) == 49
    # The server rounds the square, which changes single pixels of the crop by one.
    assert maps[0] == pytest.approx(maps[1], abs=4 * NEAR)
    assert np.ptp(maps[0]) > 0.01
    assert faces_counted(url) == before + 1  # the picture; occluded faces are not counted


def test_an_asker_closed_while_a_frame_is_encoded_opens_no_stream(url, opened):
    tab, sent = opened(url)
    answer = tab.evaluate(
        f"""async () => {{
        {OPEN}
        const asker = await open({{private: false}});
        const canvas = Object.assign(document.createElement('canvas'), {{width: 640, height: 480}});
        canvas.getContext('2d');
        const looking = asker.look({{canvas}}, {{isMoving: true}});
        asker.close();
        return looking;
    }}"""
    )
    assert answer is None
    assert sent.sockets == []


def test_a_frame_that_is_dropped_or_fails_is_not_waited_for(url, opened):
    messages = [
        {"frame": 0, "dropped": 1, "faces": [], "reason": "busy"},
        {"frame": 1, "dropped": 2, "error": "the model failed"},
        {"frame": 2, "dropped": 2, "faces": [], "reason": "no_face"},
    ]
    tab, _ = opened(url)
    waiting = iter(messages)
    tab.route_web_socket(
        re.compile("/v1/stream$"),
        lambda stream: stream.on_message(lambda _: stream.send(json.dumps(next(waiting)))),
    )
    answers, late = tab.evaluate(
        f"""async () => {{
        {OPEN}
        const asker = await open({{private: false}});
        const canvas = Object.assign(document.createElement('canvas'), {{width: 64, height: 48}});
        canvas.getContext('2d');
        const answers = [];
        let late = 0;
        for (let frame = 0; frame < 3; frame++) {{
            const began = performance.now();
            answers.push(await asker.look({{canvas}}, {{isMoving: true}}));
            late = Math.max(late, performance.now() - began);
        }}
        asker.close();
        return [answers, late];
    }}"""
    )
    assert answers == [
        None,
        {"faces": [], "reason": "the model failed"},
        {"faces": [], "reason": "no_face"},
    ]
    assert late < 3000


def test_an_image_is_processed_in_its_own_size_not_its_size_in_the_page(url, opened):
    tab, _ = opened(url)
    tab.route("**/static/seen.png", pictured)
    seen = tab.evaluate(
        f"""async (picture) => {{
        {OPEN}
        const bitmap = await createImageBitmap(await (await fetch(picture)).blob());
        const image = Object.assign(new Image(), {{width: 40, src: picture}});
        const asker = {{look: async () => ({{faces: [], reason: 'no_face'}})}};
        const early = await look(new Image(), asker).catch((error) => error.message);
        await image.decode();
        const {{frame}} = await look(image, asker);
        return [early, image.width, bitmap.width, frame.data.width];
    }}""",
        "/static/seen.png",
    )
    assert seen == ["the picture is empty or not loaded yet", 40, 640, 640]


def pictured(route) -> None:
    picture = encoded(Image.fromarray(scenes.scene((150, 60, 300))))
    route.fulfill(body=picture, content_type="image/png")


def test_a_closed_device_reports_an_error(url, opened):
    tab, _ = opened(url)
    result = tab.evaluate(
        f"""async () => {{
        {OPEN}
        const asker = await open();
        const face = new Uint8Array(asker.imageSize ** 2);
        const before = (await asker.ask([face])).length;
        asker.close();
        return [before, await asker.ask([face]).catch((error) => error.message)];
    }}"""
    )
    assert result == [1, "stopped"]


def test_pictures_that_cannot_be_encoded_or_read_have_an_error_message(url, opened):
    tab, _ = opened(url)
    other = {"pictures": [{"faces": [], "reason": "not an image"}]}
    tab.route("**/v1/predict/batch", lambda route: route.fulfill(json=other))
    result = tab.evaluate(
        """async () => {
        const {open, Refused} = await import('/static/unveil.js');
        const asker = await open({private: false});
        const canvas = Object.assign(document.createElement('canvas'), {width: 0, height: 0});
        const failing = [asker.ask([new Uint8Array(48 * 48)]), asker.look({canvas}, {})];
        return Promise.all(failing.map((one) => one.catch((error) =>
            [error instanceof Refused, error.message])));
    }"""
    )
    assert result == [
        [True, "the server cannot read a covered face: not an image"],
        [True, "the picture cannot be encoded"],
    ]


def test_page_and_server_have_the_same_face_size_limit():
    script = (ROOT / "src/unveil/serving/static/remote.js").read_text()
    assert f"const FACE_SIDE = {face_detector.FACE_SIDE};" in script


@pytest.mark.parametrize("address", ["/unveil", "ftp://here", "http://here/v1", "http://here?a=1"])
def test_an_invalid_server_address_is_refused(url, opened, address):
    tab, _ = opened(url)
    result = tab.evaluate(
        f"async (url) => {{ {OPEN} return open({{url}}).catch((error) => error.message); }}",
        address,
    )
    assert result.startswith(f'"{address}" is not a server address')


def test_a_refused_camera_does_not_suggest_the_server(url, opened):
    tab, _ = opened(url)
    tab.evaluate(
        """() => navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException('no', 'NotAllowedError'))"""
    )
    tab.locator("#camera").click()
    expect(tab.get_by_role("alert")).to_contain_text("permission was denied")
    expect(tab.get_by_role("alert")).not_to_contain_text("process pictures on the server")


def test_a_network_that_does_not_load_suggests_the_server(url, opened):
    tab, _ = opened(url)
    tab.context.route("**/v1/device/model.onnx", lambda route: route.abort())
    tab.locator("#camera").click()
    expect(tab.get_by_role("alert")).to_contain_text("process pictures on the server")


def test_the_example_starts_one_camera_and_stops_it(url, opened):
    tab, _ = opened(f"{url}/static/example.html")
    tab.evaluate(
        """() => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.given = [];
        const allowed = new Promise((resolve) => { window.allow = resolve; });
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await allowed;
            const stream = await ask(wanted);
            window.given.push(...stream.getTracks());
            return stream;
        };
        const start = document.getElementById('start');
        start.click();
        start.click();
    }"""
    )
    expect(tab.locator("#start")).to_be_disabled()
    tab.evaluate("allow()")
    expect(tab.locator("#start")).to_have_text("Stop")
    expect(tab.locator("#word")).to_have_text(re.compile("^(Looks|No face)"))
    tab.locator("#start").click()
    assert tab.evaluate("given.map((track) => track.readyState)") == ["ended"]


def test_the_page_in_the_documentation_works(url, opened):
    (html,) = re.findall(
        r"```html\n(.*?)```", (ROOT / "docs/how-to/embed.md").read_text(), re.DOTALL
    )
    tab, sent = opened(url)
    tab.route(f"{url}/call", lambda route: route.fulfill(body=html, content_type="text/html"))
    # The starter bundle is unsure about synthetic faces.
    card = httpx.get(f"{url}/v1/device").json()
    card |= {"abstain_below": None, "thresholds": {}}
    tab.context.route(f"{url}/v1/device", lambda route: route.fulfill(json=card))
    tab.goto(f"{url}/call")
    expect(tab.locator("#looks")).to_have_text(re.compile("^looks (happy|neutral|sad|surprise)$"))
    assert {method for method, _ in sent.requests} == {"GET"}


def test_the_page_says_that_a_picture_is_being_looked_at(url, opened, tmp_path):
    tab, _ = opened(url)
    held = []
    tab.route("**/v1/predict", lambda route: held.append(route))
    tab.locator("#private").uncheck()
    Image.fromarray(scenes.scene((150, 60, 300))).save(tmp_path / "face.png")
    with tab.expect_request("**/v1/predict"):
        tab.locator("#file").set_input_files(tmp_path / "face.png")
    expect(tab.locator("#detail")).to_have_text("Looking for faces…")
    held[0].continue_()
    expect(tab.get_by_role("meter")).to_have_count(4)
    expect(tab.locator("#detail")).not_to_have_text("Looking for faces…")


def test_a_change_of_mode_while_loading_works(url, opened):
    tab, _ = opened(url)
    tab.locator("#private").uncheck()
    tab.locator("#camera").click()
    tab.locator("#private").check()
    expect(tab.locator("#where")).to_have_text("this device")
    expect(tab.locator("#rate")).to_have_text(re.compile(r"^\d"))
    tab.locator("#camera").click()
    expect(tab.locator("#detail")).to_have_text("No picture yet.")
    expect(tab.get_by_role("alert")).to_be_hidden()


def test_all_controls_can_be_reached_by_keyboard(url, opened):
    tab, _ = opened(url)
    walked = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        walked.append(tab.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert walked == [
        *("Skip to the controls", "What that means for you"),
        *("camera", "choose", "explain"),
        *("happy", "neutral", "sad", "surprise", "unclear", "three faces", "private"),
    ]
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Space")
    expect(tab.locator("#private")).not_to_be_checked()
    expect(tab.get_by_role("status")).to_have_text("Private mode off.")
    tab.locator("#explain").press("Enter")
    expect(tab.locator("#explain")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("path", ["", "/static/example.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_with_readable_text(url, opened, tmp_path, path, scheme):
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    tab, _ = opened(f"{url}{path}", **phone)
    expect(tab.get_by_text("Emotion recognition is running here.")).to_be_visible()
    if not path:
        expect(tab.locator("#trained")).to_have_text("real faces")
    assert tab.locator("aside a").get_attribute("href") == "/notice"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(NAMELESS) == []
    assert tab.evaluate(FAINT) == []
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.locator("h1").count() == 1
    assert browser.colours(tab, tmp_path / "phone.png") > 20


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    """A page of another origin with only a video."""
    folder = tmp_path_factory.mktemp("embedder")
    (folder / "index.html").write_text("<!doctype html><title>call</title><video id=call muted>")
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    url = f"http://localhost:{port}"
    with serving(command, url, folder / "log", ready=lambda: answers(url)) as given:
        yield given


@pytest.fixture(scope="module")
def hesitant(tmp_path_factory):
    """A server whose bundle has such a high threshold that it is always unsure."""
    folder = tmp_path_factory.mktemp("hesitant")
    made = shutil.copytree(STARTER, folder / "bundle")
    card = json.loads((made / "bundle.json").read_text())
    lineage = card["lineage"] | {"version": "3"}
    card |= {"abstain_below": 0.99, "thresholds": [0.99] * 4, "lineage": lineage}
    for name in FILES.values():
        model = onnx.load(made / name)
        del model.metadata_props[:]
        for key, value in bundle.metadata(
            TypeAdapter(Card).validate_json(json.dumps(card))
        ).items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, made / name)
    bundles.told(made, card | {"digests": {name: sha256(made / name) for name in FILES.values()}})
    with unveil_server(folder, made) as url:
        yield url


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, embedder):
    """A server with tokens that allows the embedder's origin: its URL and a token."""
    folder = tmp_path_factory.mktemp("guarded")
    kept = folder / "tokens.json"
    token = tokens.issue(kept, "page")
    options = ["--token-file", kept, "--allow-origin", embedder]
    with unveil_server(folder, STARTER, *options) as url:
        yield url, token


@pytest.mark.parametrize("is_private", [True, False], ids=["device", "server"])
def test_a_page_of_another_origin_can_embed_it(guarded, embedder, opened, is_private):
    url, token = guarded
    tab, _ = opened(embedder)
    answer = tab.evaluate(
        """async ([url, token, isPrivate]) => {
        const {watch} = await import(`${url}/static/unveil.js`);
        const video = document.getElementById('call');
        video.srcObject = await navigator.mediaDevices.getUserMedia({video: true});
        await video.play();
        return new Promise((onAnswer, onError) => {
            const stop = watch(video, {token, private: isPrivate, onError,
                onAnswer(answer) { if (answer.faces.length) { stop(); onAnswer(answer); } }});
        });
    }""",
        [url, token, is_private],
    )
    assert len(answer["faces"]) == 1
    assert (answer["width"], answer["height"]) == (640, 480)


def test_the_page_asks_for_a_required_token(guarded, opened):
    url, token = guarded
    tab, _ = opened(url)
    tab.locator("#camera").click()
    field = tab.get_by_label("This server requires a token")
    field.fill("wrong")
    field.press("Enter")
    tab.locator("#camera").click()
    expect(tab.locator("#model")).to_have_text("\N{EN DASH}")
    field.fill(token)
    field.press("Enter")
    expect(tab.locator("#model")).to_have_text("cnn5_small_gray, not registered")
    started(tab)


def test_the_example_takes_a_token_from_its_field(guarded, opened):
    url, token = guarded
    tab, _ = opened(f"{url}/static/example.html")
    tab.locator("#start").click()
    expect(tab.locator("#word")).to_have_text(re.compile("^No answer: .*token"))
    tab.get_by_label("Token, if the server requires one").fill(f"{token} ")
    tab.locator("#start").click()
    expect(tab.locator("#word")).to_have_text(re.compile("^(Looks|No face)"))


@pytest.mark.parametrize("is_private", [True, False], ids=["device", "server"])
def test_below_the_threshold_the_page_shows_unsure(hesitant, opened, tmp_path, is_private):
    tab, _ = opened(hesitant)
    tab.locator("#private").set_checked(is_private)
    Image.fromarray(scenes.scene((150, 60, 300))).save(tmp_path / "face.png")
    tab.locator("#file").set_input_files(tmp_path / "face.png")
    expect(tab.locator("#answer")).to_have_text(re.compile("^unsure, perhaps \\w+ \\d+\\s%$"))
    expect(tab.locator("#detail")).to_have_text(
        re.compile("^Below 99\u00a0% the model does not name \\w+\\.$")
    )


@pytest.mark.parametrize("width", [1280, 900, 320])
def test_an_unsure_answer_is_one_phrase_without_a_line_for_its_first_word(url, opened, width):
    tab, _ = opened(url, viewport={"width": width, "height": 800})
    sample(tab, "unclear")
    expect(tab.locator("#answer")).to_have_text(re.compile("^unsure, perhaps sad"))
    tops = tab.evaluate(
        """() => [0, 'unsure, '.length].map((start) => {
        const range = document.createRange();
        const text = document.getElementById('answer').firstChild;
        range.setStart(text, start);
        range.setEnd(text, start + 'unsure,'.length);
        return range.getClientRects()[0].top;
    })"""
    )
    assert tops[0] == tops[1]


def test_the_network_requires_the_token(url, guarded):
    closed, token = guarded
    for path in ("", "/model.onnx", "/detector.onnx"):
        assert httpx.get(f"{closed}/v1/device{path}").status_code == 401
    known = {"authorization": f"Bearer {token}"}
    assert httpx.get(f"{closed}/v1/device", headers=known).status_code == 200
    card = json.loads((STARTER / "bundle.json").read_text())
    assert httpx.get(f"{url}/v1/device").json()["digest"] == card["digests"]["model.onnx"]
    given = httpx.get(f"{url}/v1/device/model.onnx")
    assert given.content == (STARTER / "model.onnx").read_bytes()
    assert given.headers["cache-control"] == "private, no-cache"
    again = {"if-none-match": given.headers["etag"]}
    assert httpx.get(f"{url}/v1/device/model.onnx", headers=again).status_code == 304
    given = httpx.get(f"{url}/v1/device/detector.onnx")
    assert given.content == face_network.network()
    again = {"if-none-match": given.headers["etag"]}
    assert httpx.get(f"{url}/v1/device/detector.onnx", headers=again).status_code == 304


def test_private_mode_runs_the_network_of_the_servers_precision(opened, tmp_path):
    with unveil_server(tmp_path, STARTER, "--precision", "int8") as url:
        given = httpx.get(f"{url}/v1/device/model.onnx")
        assert given.content == (STARTER / "model.int8.onnx").read_bytes()
        tab, _ = opened(url)
        pictures = [
            encoded(Image.fromarray(scenes.scene((150, 60, 300), number=number)))
            for number in (0, 8)
        ]
        own = tab.evaluate(LOOKED, [[base64.b64encode(one).decode() for one in pictures], True])
        for answer, picture in zip(own, pictures, strict=True):
            (face,), (expected,) = answer["faces"], served(url, picture)["faces"]
            assert face["emotion"] == expected["emotion"]
            # The arithmetic of 8 bits differs between processors.
            assert face["probabilities"] == pytest.approx(expected["probabilities"], abs=0.05)


def test_private_mode_can_be_disabled(opened, tmp_path):
    with unveil_server(tmp_path, STARTER, "--no-private") as url:
        for path in ("", "/model.onnx", "/detector.onnx"):
            assert httpx.get(f"{url}/v1/device{path}").status_code == 404
        tab, _ = opened(url)
        expect(tab.locator("#private")).to_be_disabled()
        expect(tab.locator("#private")).not_to_be_checked()
        expect(tab.locator("#private-said")).to_contain_text("Pictures are sent")
        started(tab)


def sample(tab: Page, name: str, faces: int = 1) -> None:
    tab.get_by_role("button", name=name, exact=True).click()
    expect(tab.locator("#count")).to_have_text(str(faces))


def meters(tab: Page) -> dict[str, str]:
    """Return the text of each bar."""
    return {
        one.get_attribute("aria-label"): one.get_attribute("aria-valuetext")
        for one in tab.get_by_role("meter").all()
    }


def bars(face: dict) -> dict[str, str]:
    return {name: f"{100 * value:.0f} percent" for name, value in face["probabilities"].items()}


def test_the_page_shows_name_version_and_training_data_of_the_model(url, hesitant, opened):
    for address, version in ((url, "not registered"), (hesitant, "version 3")):
        tab, _ = opened(address)
        expect(tab.locator("#model")).to_have_text(f"cnn5_small_gray, {version}")
        expect(tab.locator("#trained")).to_have_text("real faces")


def test_a_drawn_sample_is_classified_without_camera_or_file(url, opened):
    tab, sent = opened(url)
    sample(tab, "happy")
    expect(tab.locator("#answer")).to_have_text(re.compile(r"^happy \d+\s%$"))
    assert {method for method, _ in sent.requests} == {"GET"}
    tab.locator("#private").uncheck()
    expect(tab.locator("#where")).to_have_text("the server")
    expect(tab.locator("#answer")).to_have_text(re.compile(r"^happy \d+\s%$"))


def test_each_face_has_a_box_that_shows_its_bars(url, opened):
    tab, _ = opened(url, has_touch=True)
    tab.locator("#private").uncheck()
    faces = served(url, httpx.get(f"{url}/samples/several.png").content)["faces"]
    sample(tab, "three faces", 3)
    boxes = tab.locator(".face")
    expect(boxes).to_have_count(3)
    frame = tab.locator("#faces").bounding_box()
    for place, face in enumerate(faces):
        box = boxes.nth(place).bounding_box()
        x, y = ((box[side] - frame[side]) * 480 / frame["width"] for side in "xy")
        assert (x, y) == pytest.approx(face["box"][:2], abs=2)
        name = boxes.nth(place).get_attribute("aria-label")
        word = face["emotion"] or "unsure, perhaps sad"
        assert re.match(rf"Face {place + 1} of 3: (looks )?{word}, \d+ percent$", name)
    assert meters(tab) == bars(faces[0])
    expect(tab.locator("#detail")).to_contain_text("The largest of 3 faces")
    boxes.nth(1).hover()
    expect(boxes.nth(1)).to_have_attribute("aria-pressed", "true")
    assert meters(tab) == bars(faces[1])
    expect(tab.locator("#detail")).to_contain_text("Face 2 of 3")
    boxes.nth(2).tap()
    expect(boxes.nth(2)).to_have_attribute("aria-pressed", "true")
    assert meters(tab) == bars(faces[2])
    boxes.nth(2).press("Shift+Tab")
    tab.keyboard.press("Shift+Tab")
    expect(boxes.nth(0)).to_be_focused()
    expect(boxes.nth(0)).to_have_attribute("aria-pressed", "true")
    assert meters(tab) == bars(faces[0])
    assert tab.evaluate(NAMELESS) == []
    assert tab.evaluate(FAINT) == []


def test_the_saliency_map_follows_the_chosen_face(url, opened):
    tab, _ = opened(url)
    sample(tab, "three faces", 3)
    tab.locator("#explain").click()
    for place in (0, 2):
        tab.locator(".face").nth(place).focus()
        tab.wait_for_function(
            """(place) => {
            const [face, canvas] = [document.querySelectorAll('.face')[place],
                document.getElementById('overlay')];
            const [left, top, wide] = ['left', 'top', 'width'].map((side) =>
                parseFloat(face.style[side]) / 100);
            const part = [left * canvas.width, top * canvas.height, wide * canvas.width];
            const {data} = canvas.getContext('2d').getImageData(...part.map(Math.round), 40);
            return data.some((value) => value);
        }""",
            arg=place,
        )


def test_a_face_of_a_video_keeps_its_box_and_its_focus(url, opened):
    tab, _ = opened(url)
    started(tab)
    box = tab.locator(".face").first
    box.focus()
    before = box.evaluate("(one) => { window.box = one; return one.style.left; }")
    tab.wait_for_function("(left) => window.box.style.left !== left", arg=before)
    assert tab.evaluate("document.activeElement === window.box && window.box.isConnected")


def test_a_mark_on_each_bar_shows_the_threshold(url, opened):
    tab, _ = opened(url)
    sample(tab, "unclear")
    own = httpx.get(f"{url}/v1/model").json()["thresholds"]
    expect(tab.locator("#threshold")).to_have_text("The model names a class only above its mark.")
    expect(tab.locator("#answer")).to_have_text(re.compile("^unsure, perhaps sad"))
    expect(tab.get_by_role("status")).to_contain_text("unsure, perhaps sad")
    shares = tab.evaluate(
        """() => [...document.querySelectorAll('.meter')].map((meter) =>
        (parseFloat(getComputedStyle(meter, '::after').left) + 1.5) / meter.offsetWidth)"""
    )
    assert shares == pytest.approx([*own.values()], abs=0.002)


def answering(content: dict) -> Callable[[Route], None]:
    return lambda route: route.fulfill(json=content)


def test_each_class_has_its_own_mark_on_the_device_as_on_the_server(url, opened):
    own = {"happy": 0.6, "neutral": 0.9, "sad": 0.99, "surprise": 0.7}
    tab, _ = opened("about:blank")
    for path in ("/v1/model", "/v1/device"):
        told = httpx.get(f"{url}{path}").json() | {"abstain_below": 0.6, "thresholds": own}
        tab.context.route(f"{url}{path}", answering(told))
    tab.goto(url)
    expect(tab.locator("#threshold")).to_have_text("The model names a class only above its mark.")
    sample(tab, "sad")
    expect(tab.locator("#answer")).to_have_text(re.compile("^unsure, perhaps sad"))
    expect(tab.locator("#detail")).to_have_text("Below 99\u00a0% the model does not name sad.")
    marks = tab.evaluate(
        """() => [...document.querySelectorAll('.meter')].map((meter) =>
        (parseFloat(getComputedStyle(meter, '::after').left) + 1.5) / meter.offsetWidth)"""
    )
    assert marks == pytest.approx([*own.values()], abs=0.002)


@pytest.mark.parametrize("thresholds", [(0.5, 0.9, 0.8, 0.7), None], ids=["classes", "older"])
def test_browser_and_python_name_the_same_faces(url, opened, thresholds):
    rows = np.random.default_rng(0).dirichlet([0.5] * 4, 500)
    card = {"classes": bundles.CLASSES, "abstain_below": 0.8}
    if thresholds:
        card |= {"thresholds": dict(zip(bundles.CLASSES, thresholds, strict=True))}
    expected = [decision.answer(row, bundles.CLASSES, thresholds or [0.8] * 4) for row in rows]
    tab, _ = opened(url)
    named = tab.evaluate(
        """async ([rows, card]) => {
        const {answered} = await import('/static/predictions.js');
        const found = rows.map(() => ({box: [0, 0, 1, 1], square: null}));
        return answered(found, rows, card).faces.map((face) => [face.emotion, face.reason]);
    }""",
        [rows.tolist(), card],
    )
    assert named == [[one.emotion, one.reason] for one in expected]
    assert 50 < sum(one.emotion is None for one in expected) < 450


@pytest.mark.parametrize("name", ["unclear", "three faces"])
def test_a_phone_shows_the_verdict_on_the_picture_without_scrolling(url, opened, name):
    tab, _ = opened(url, viewport={"width": 390, "height": 844}, has_touch=True)
    sample(tab, name, 3 if name == "three faces" else 1)
    verdict = tab.locator("#verdict")
    expect(verdict).to_have_text(re.compile(r"^(happy|unsure, perhaps sad) \d+\s%$"))
    stage, box = tab.locator("#stage").bounding_box(), verdict.bounding_box()
    assert stage["y"] < box["y"] < box["y"] + box["height"] < stage["y"] + stage["height"] < 844
    assert tab.evaluate("[scrollY, document.documentElement.scrollWidth]") == [0, 390]
    assert tab.evaluate(FAINT) == []


def test_the_notice_is_readable_in_a_browser(url, opened):
    for scheme in ("light", "dark"):
        tab, _ = opened(
            f"{url}/notice", viewport={"width": 390, "height": 844}, color_scheme=scheme
        )
        expect(tab.get_by_role("heading")).to_have_text("Emotion recognition is running here")
        expect(tab.get_by_role("definition").first).to_have_text("see that the server works")
        assert tab.evaluate(FAINT) == []
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.evaluate("getComputedStyle(document.body).margin") == "0px"


def test_the_api_documentation_works_offline_within_its_policy(guarded, opened):
    url, token = guarded
    tab, sent = opened("about:blank")
    console = []
    tab.on("console", lambda message: console.append(message.text))
    tab.goto(f"{url}/docs")
    expect(tab.get_by_role("heading", name="unveil")).to_be_visible()
    tab.locator("button.authorize").click()
    tab.locator(".auth-container input").fill(token)
    tab.locator(".auth-btn-wrapper .authorize").click()
    tab.locator(".auth-btn-wrapper .btn-done").click()
    operation = tab.locator("#operations-default-model_v1_model_get")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response").first).to_contain_text(
        "cnn5_small_gray"
    )
    assert console == []
    near = (url, "data:", "blob:", "about:")
    assert [address for _, address in sent.requests if not address.startswith(near)] == []
    policy = httpx.get(f"{url}/docs").headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy


GONE = re.compile("^The server does not answer. .* try again in a few seconds.$")


@pytest.mark.fault("the server of a page dies")
def test_a_page_without_its_server_says_so_and_can_retry(opened, tmp_path):
    port = free_port()
    with unveil_server(tmp_path, STARTER, port=port) as url:
        tab, _ = opened(url)
        expect(tab.locator("#trained")).to_have_text("real faces")
        tab.locator("#private").uncheck()
        started(tab)
        url.kill()
        # The stream breaks.
        expect(tab.get_by_role("alert")).to_have_text(GONE)
    for is_private in (True, False):
        tab.locator("#private").set_checked(is_private)
        tab.get_by_role("button", name="sad", exact=True).click()
        expect(tab.get_by_role("alert")).to_have_text(GONE)
    with unveil_server(tmp_path, STARTER, port=port):
        tab.get_by_role("button", name="Try again").click()
        expect(tab.locator("#answer")).to_have_text(re.compile("^sad"))
        expect(tab.get_by_role("alert")).to_be_hidden()
        expect(tab.locator("#again")).to_be_hidden()


def busy() -> float:
    """CPU seconds used by Chromium."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                total += sum(process.cpu_times()[:2])
    return total


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_frames_per_second(opened, capsys, tmp_path, precision):
    with unveil_server(tmp_path, STARTER, "--precision", precision) as url:
        tab, _ = opened(url)
        measure_frames_per_second(tab, precision, capsys)


def measure_frames_per_second(tab: Page, precision: str, capsys: pytest.CaptureFixture) -> None:
    lines = []
    for mode in ("device", "server"):
        tab.locator("#private").set_checked(mode == "device")
        started(tab)
        rates, before = [], busy()
        for _ in range(10):
            tab.wait_for_timeout(1000)
            rates.append(float(tab.locator("#rate").inner_text()))
        cost = (busy() - before) / (10 * np.mean(rates))
        lines.append(f"{mode} {np.mean(rates):.1f} frames/s, {1000 * cost:.0f} ms of a core each")
        tab.locator("#camera").click()
        assert min(rates) > 0
    with capsys.disabled():
        print(
            f"\nheadless Chromium, 640x480, {precision}: {'; '.join(lines)}; "
            f"load {psutil.getloadavg()[0]:.1f}"
        )
