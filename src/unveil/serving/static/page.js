/** The page: camera or picture in, boxes and probabilities out; uses the public module unveil.js. */

import { cleared, heat } from "./draw.js";
import { faceBoxes } from "./faces.js";
import { announce, count, describe, facts, fail, forget, say } from "./page_texts.js";
import { searching, show, wantToken } from "./page_texts.js";
import { look, open, saliencyMap, watch } from "./unveil.js";

const MAP_INTERVAL = 1500; // milliseconds between two saliency maps of a video
const ON_DEVICE = "The model runs in this browser; no pixel is sent.";
const ON_SERVER = "Pictures are sent to this server, which processes them and stores none.";
const at = (id) => document.getElementById(id);

/** The camera or file is unusable; processing on the server would not help. */
class NoPicture extends Error {}

const [video, picture, overlay, stage] = ["video", "picture", "overlay", "stage"].map(at);

const boxes = faceBoxes(at("faces"), chose);

let source = null; // "camera", a picture, or nothing
let last = null; // the source before an error
let asker = null;
let stop = () => {};
let map = null; // {values, slot}: the saliency map of a face
let latest = null; // {answer, frame}
let mapStart = 0; // the time at which the current map was started; 0 for none
let nextMap = 0; // the earliest time for the next map
let session = 0; // counts the started sources, to detect outdated results

/** Open the asker for the chosen mode; false if another source was started meanwhile. */
async function ready() {
  const mine = session;
  const isPrivate = at("private").checked;
  if (asker?.isPrivate !== isPrivate) {
    asker?.close();
    asker = null;
    facts({ where: isPrivate ? "loading the model…" : "connecting to the server…" });
    const token = at("token").value || undefined;
    const opened = await open({ private: isPrivate, token });
    if (mine !== session) return opened.close();
    asker = opened;
    describe(asker.model);
    at("access").hidden = true;
  }
  facts({ where: isPrivate ? "this device" : "the server" });
  return mine === session;
}

/** Start a source; the current one is stopped. */
async function begin(next) {
  end();
  source = next;
  last = next ?? last;
  const mine = session;
  try {
    if (source === "camera") await camera();
    else if (source) await still(source);
  } catch (error) {
    if (mine === session) failed(error);
  }
}

async function camera() {
  const constraints = { video: { width: { ideal: 640 }, facingMode: "user" }, audio: false };
  if (!navigator.mediaDevices) throw new NoPicture("the camera needs https or localhost");
  const mine = session;
  at("camera").textContent = "Stop camera";
  const stream = await navigator.mediaDevices.getUserMedia(constraints).catch(refusedCamera);
  if (mine !== session) return stopTracks(stream);
  const gone = new NoPicture("the camera was disconnected");
  stream.getVideoTracks()[0].onended = () => mine === session && failed(gone);
  video.srcObject = stream;
  [video.hidden, at("empty").hidden] = [false, true];
  video.classList.add("mirrored");
  await video.play().catch(refusedCamera);
  fit(video.videoWidth, video.videoHeight);
  if (await ready()) stop = watch(video, { asker, onAnswer: answered, onError: failed });
}

async function still(file) {
  const mine = session;
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new NoPicture("the browser cannot read this file as a picture");
  });
  if (mine !== session) return;
  cleared(picture, bitmap).drawImage(bitmap, 0, 0);
  [picture.hidden, at("empty").hidden] = [false, true];
  fit(bitmap.width, bitmap.height);
  searching();
  if (!(await ready())) return;
  const { answer, frame } = await look(bitmap, asker);
  if (mine === session) answered(answer, frame);
}

function end() {
  session++;
  stop();
  stop = () => {};
  stopTracks(video.srcObject);
  video.srcObject = null;
  [video.hidden, picture.hidden, at("empty").hidden] = [true, true, false];
  [source, latest, map] = [null, null, null];
  at("camera").textContent = "Start camera";
  cleared(overlay, overlay);
  boxes.clear();
  forget();
}

function answered(answer, frame) {
  latest = { answer, frame };
  boxes.show(answer, source === "camera");
  redraw();
  describe(asker.model);
  show(answer, boxes.current());
  announce();
  if (source === "camera") count();
  else explain();
}

function chose() {
  show(latest.answer, boxes.current());
  redraw();
  explain();
}

function redraw() {
  if (!latest) return;
  const context = cleared(overlay, latest.answer);
  const shown = boxes.current();
  if (!isExplaining() || !map || shown?.slot !== map.slot) return;
  // The map moves along with the face.
  heat(context, map.values, shown.face, latest.answer.width, source === "camera");
}

const isExplaining = () => at("explain").getAttribute("aria-pressed") === "true";

async function explain() {
  const [mine, explained, shown] = [session, latest, boxes.current()];
  if (!isExplaining() || !shown || !asker || mapStart) return;
  const isDone = map?.slot === shown.slot && source !== "camera";
  if (isDone) return;
  mapStart = performance.now();
  try {
    const values = await saliencyMap(explained.frame, shown.face, asker);
    if (mine !== session) return;
    map = { values, slot: shown.slot };
    redraw();
  } catch (error) {
    if (mine === session) failed(error);
  } finally {
    // A map takes fifty predictions: if they are slow, frames have priority.
    const took = performance.now() - mapStart;
    nextMap = performance.now() + Math.max(MAP_INTERVAL, 3 * took);
    mapStart = 0;
    // A picture or a face that was chosen meanwhile still needs its map.
    if (source !== "camera") explain();
  }
}

function failed(error) {
  const isToken = error.status === 401;
  end();
  asker?.close();
  asker = null;
  if (isToken) wantToken();
  else fail(error, at("private").checked && !(error instanceof NoPicture));
}

function refusedCamera(error) {
  const reasons = { NotAllowedError: "permission was denied", NotFoundError: "no camera found" };
  throw new NoPicture(`the camera cannot be used: ${reasons[error.name] ?? error.message}`);
}

const stopTracks = (stream) => stream?.getTracks().forEach((track) => track.stop());

function fit(width, height) {
  stage.style.aspectRatio = `${width} / ${Math.min(height, width * 1.25)}`;
}

at("camera").addEventListener("click", () => begin(source === "camera" ? null : "camera"));
at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) begin(target.files[0]);
  target.value = "";
});
for (const button of at("samples").children) {
  button.addEventListener("click", () => begin(button.querySelector("img")));
}
at("again").addEventListener("click", () => begin(last));

async function offerPrivate() {
  const response = await fetch("/v1/device", { credentials: "omit" }).catch(() => null);
  const isMissing =
    response?.status === 404 || !globalThis.crypto?.subtle || !globalThis.WebAssembly;
  if (!isMissing) return;
  [at("private").checked, at("private").disabled] = [false, true];
  at("private-said").textContent = `Private mode is not available here. ${ON_SERVER}`;
}

/** Describe the active model, if that needs no token or the token is known. */
async function nameModel() {
  const token = at("token").value;
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch("/v1/model", { headers, credentials: "omit" }).catch(() => null);
  if (response?.ok) describe(await response.json());
}

offerPrivate();
nameModel();
at("private").addEventListener("change", () => {
  const isPrivate = at("private").checked;
  at("private-said").textContent = isPrivate ? ON_DEVICE : ON_SERVER;
  say(`Private mode ${isPrivate ? "on" : "off"}.`);
  if (source) begin(source);
});
at("explain").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", String(!isExplaining()));
  at("legend").hidden = !isExplaining();
  map = null;
  redraw();
  explain();
});
setInterval(() => source === "camera" && performance.now() > nextMap && explain(), 250);
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  fail(null);
  say("The token is set. Start the camera or choose a picture.");
  at("access").hidden = true;
  nameModel();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  stage.addEventListener(kind, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) begin(event.dataTransfer.files[0]);
  });
}
