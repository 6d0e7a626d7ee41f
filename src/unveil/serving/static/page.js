/** The page: camera or picture in, box and probabilities out; asks as any other page would. */

import { cleared, heat, outline } from "./draw.js";
import { leansOn, look, open, watch } from "./unveil.js";
import { classes, facts, fail, forget, say, show, wantToken } from "./words.js";

const LEAN_EVERY = 1500; // milliseconds between two maps of a video
const KEPT = "The network runs in this browser; no pixel is sent.";
const SENT = "Pictures are sent to this server, which looks at them and keeps none.";
const at = (id) => document.getElementById(id);

/** There is nothing to look at, whoever would look. */
class Unseen extends Error {}

const [video, picture, overlay, stage] = ["video", "picture", "overlay", "stage"].map(at);

let source = null; // "camera", a picture, or nothing
let asker = null;
let stop = () => {};
let map = null; // of what the answer leans on
let latest = null; // {answer, frame}
let leaningSince = 0; // when the map that is being made was begun
let leanNext = 0; // not before then is another one made
let turn = 0; // counts what was begun, so that what is late is seen to be

async function asking() {
  const mine = turn;
  const isPrivate = at("private").checked;
  if (asker?.isPrivate !== isPrivate) {
    asker?.close();
    asker = null;
    facts({ where: isPrivate ? "loading the network…" : "asking the server…" });
    const token = at("token").value || undefined;
    const opened = await open({ private: isPrivate, token });
    if (mine !== turn) return opened.close();
    asker = opened;
    at("access").hidden = true;
  }
  facts({ where: isPrivate ? "this device" : "the server" });
  return mine === turn;
}

/** Begin with a source; what was looked at before is left. */
async function begin(next) {
  end();
  source = next;
  const mine = turn;
  try {
    if (source === "camera") await camera();
    else if (source) await still(source);
  } catch (error) {
    if (mine === turn) failed(error);
  }
}

async function camera() {
  const wanted = { video: { width: { ideal: 640 }, facingMode: "user" }, audio: false };
  if (!navigator.mediaDevices) throw new Unseen("a camera needs https, or localhost");
  const mine = turn;
  at("camera").textContent = "Stop camera";
  const stream = await navigator.mediaDevices.getUserMedia(wanted).catch(refusedCamera);
  if (mine !== turn) return stopTracks(stream);
  const gone = new Unseen("the camera went away");
  stream.getVideoTracks()[0].onended = () => mine === turn && failed(gone);
  video.srcObject = stream;
  [video.hidden, at("empty").hidden] = [false, true];
  video.classList.add("mirrored");
  await video.play().catch(refusedCamera);
  fit(video.videoWidth, video.videoHeight);
  if (await asking()) stop = watch(video, { asker, onAnswer: answered, onError: failed });
}

async function still(file) {
  const mine = turn;
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new Unseen("this file is no picture a browser can read");
  });
  if (mine !== turn) return;
  cleared(picture, bitmap).drawImage(bitmap, 0, 0);
  [picture.hidden, at("empty").hidden] = [false, true];
  fit(bitmap.width, bitmap.height);
  if (!(await asking())) return;
  const { answer, frame } = await look(bitmap, asker);
  if (mine === turn) answered(answer, frame);
}

function end() {
  turn++;
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
  if (source !== "camera") lean();
}

function redraw() {
  if (!latest) return;
  const isMirrored = source === "camera";
  const context = cleared(overlay, latest.answer);
  const [face] = latest.answer.faces;
  // A face that moved takes its map along.
  if (map && face && isLeaning()) heat(context, map, face.box, latest.answer.width, isMirrored);
  outline(context, latest.answer, isMirrored);
}

const isLeaning = () => at("lean").getAttribute("aria-pressed") === "true";

async function lean() {
  const [mine, seen] = [turn, latest];
  const face = seen?.answer.faces[0];
  if (!isLeaning() || !face || !asker || leaningSince) return;
  leaningSince = performance.now();
  try {
    const made = await leansOn(seen.frame, face.box, asker);
    if (mine !== turn) return;
    map = made;
    redraw();
  } catch (error) {
    if (mine === turn) failed(error);
  } finally {
    // A map is fifty questions: where they take long, frames come first.
    const took = performance.now() - leaningSince;
    leanNext = performance.now() + Math.max(LEAN_EVERY, 3 * took);
    leaningSince = 0;
    // What was begun meanwhile waits for its map.
    if (mine !== turn && source !== "camera") lean();
  }
}

function failed(error) {
  const isToken = error.status === 401;
  end();
  asker?.close();
  asker = null;
  if (isToken) wantToken();
  else fail(error, at("private").checked && !(error instanceof Unseen));
}

function refusedCamera(error) {
  const reasons = { NotAllowedError: "it was not allowed", NotFoundError: "there is none" };
  throw new Unseen(`the camera cannot be used: ${reasons[error.name] ?? error.message}`);
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
  const told = await fetch("/v1/device", { credentials: "omit" }).catch(() => null);
  const isMissing = told?.status === 404 || !globalThis.crypto?.subtle || !globalThis.WebAssembly;
  if (isMissing) {
    [at("private").checked, at("private").disabled] = [false, true];
    at("private-said").textContent = `Not to be had here. ${SENT}`;
  }
  if (told?.ok) classes((await told.json()).classes);
}

/** Say which model answers, and what it learned from. */
async function nameModel() {
  const told = await fetch("/v1/model", { credentials: "omit" }).catch(() => null);
  if (!told?.ok) return;
  const { architecture, version, trained_on: faces } = await told.json();
  const which = version === null ? architecture : `${architecture}, version ${version}`;
  at("model").textContent = `Model: ${which}, trained on: ${faces}.`;
}

offerPrivate();
nameModel();
at("private").addEventListener("change", () => {
  const isPrivate = at("private").checked;
  at("private-said").textContent = isPrivate ? KEPT : SENT;
  say(`Private mode ${isPrivate ? "on" : "off"}.`);
  if (source) begin(source);
});
at("lean").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", String(!isLeaning()));
  at("legend").hidden = !isLeaning();
  map = null;
  redraw();
  lean();
});
setInterval(() => source === "camera" && performance.now() > leanNext && lean(), 250);
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  fail(null);
  say("The token is used from now on. Start the camera or choose a picture.");
  at("access").hidden = true;
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  stage.addEventListener(kind, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) begin(event.dataTransfer.files[0]);
  });
}
