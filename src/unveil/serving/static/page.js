/** The page: camera or picture in, boxes and probabilities out; uses the public module unveil.js. */

import { cleared, heat, outline } from "./draw.js";
import { look, open, saliencyMap, watch } from "./unveil.js";
import { classes, facts, fail, forget, say, show, wantToken } from "./page_texts.js";

const MAP_INTERVAL = 1500; // milliseconds between two saliency maps of a video
const ON_DEVICE = "The model runs in this browser; no pixel is sent.";
const ON_SERVER = "Pictures are sent to this server, which processes them and stores none.";
const at = (id) => document.getElementById(id);

/** The camera or file is unusable; processing on the server would not help. */
class NoPicture extends Error {}

const [video, picture, overlay, stage] = ["video", "picture", "overlay", "stage"].map(at);

let source = null; // "camera", a picture, or nothing
let asker = null;
let stop = () => {};
let map = null; // the saliency map of the answer
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
    at("access").hidden = true;
  }
  facts({ where: isPrivate ? "this device" : "the server" });
  return mine === session;
}

/** Start a source; the current one is stopped. */
async function begin(next) {
  end();
  source = next;
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
  forget();
}

function answered(answer, frame) {
  latest = { answer, frame };
  if (!answer.faces.length) map = null;
  redraw();
  show(answer, source === "camera");
  if (source !== "camera") explain();
}

function redraw() {
  if (!latest) return;
  const isMirrored = source === "camera";
  const context = cleared(overlay, latest.answer);
  const [face] = latest.answer.faces;
  // The map moves along with the face.
  if (map && face && isExplaining()) heat(context, map, face.box, latest.answer.width, isMirrored);
  outline(context, latest.answer, isMirrored);
}

const isExplaining = () => at("explain").getAttribute("aria-pressed") === "true";

async function explain() {
  const [mine, explained] = [session, latest];
  const face = explained?.answer.faces[0];
  if (!isExplaining() || !face || !asker || mapStart) return;
  mapStart = performance.now();
  try {
    const computed = await saliencyMap(explained.frame, face.box, asker);
    if (mine !== session) return;
    map = computed;
    redraw();
  } catch (error) {
    if (mine === session) failed(error);
  } finally {
    // A map takes fifty predictions: if they are slow, frames have priority.
    const took = performance.now() - mapStart;
    nextMap = performance.now() + Math.max(MAP_INTERVAL, 3 * took);
    mapStart = 0;
    // A picture that was chosen meanwhile still needs its map.
    if (mine !== session && source !== "camera") explain();
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
async function offerPrivate() {
  const response = await fetch("/v1/device", { credentials: "omit" }).catch(() => null);
  const isMissing =
    response?.status === 404 || !globalThis.crypto?.subtle || !globalThis.WebAssembly;
  if (isMissing) {
    [at("private").checked, at("private").disabled] = [false, true];
    at("private-said").textContent = `Private mode is not available here. ${ON_SERVER}`;
  }
  if (response?.ok) classes((await response.json()).classes);
}

/** Show the active model and its kind of training data. */
async function nameModel() {
  const response = await fetch("/v1/model", { credentials: "omit" }).catch(() => null);
  if (!response?.ok) return;
  const { architecture, version, trained_on: faces } = await response.json();
  const which = version === null ? architecture : `${architecture}, version ${version}`;
  at("model").textContent = `Model: ${which}, trained on: ${faces}.`;
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
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  stage.addEventListener(kind, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) begin(event.dataTransfer.files[0]);
  });
}
