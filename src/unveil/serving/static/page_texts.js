/** The texts and bars of the page; announcements for screen readers are rate-limited. */

import { likeliest, share } from "./faces.js";

const ANNOUNCE_INTERVAL = 3000; // milliseconds between two announcements for screen readers
const RATE_WINDOW = 3000; // milliseconds over which frames are counted
const at = (id) => document.getElementById(id);

let [spoken, spokenAt, waiting] = ["", 0, null];
let frames = [];
let meters = {};
let least = null; // the probability from which each class is named, once known

/** Show an answer: the probabilities of the chosen face (see `faces.js`), if there is one. */
export function show(answer, chosen) {
  const none = answer.reason === "no_face" ? "no face" : "no answer";
  const [word, more] = chosen ? named(chosen.face) : [none, ""];
  const small = Object.assign(document.createElement("small"), { textContent: more });
  at("answer").replaceChildren(`${word} `, small);
  at("answer").classList.toggle("unsure", Boolean(chosen && !chosen.face.emotion));
  at("verdict").textContent = `${word} ${more}`;
  at("verdict").hidden = false;
  at("detail").textContent = sentence(answer, chosen);
  bars(chosen ? chosen.face.probabilities : {});
  facts({ count: answer.faces.length });
}

/** Announce the answer that is shown. */
export function announce() {
  say(`${at("answer").textContent}. ${at("detail").textContent}`);
}

/** Describe the active model: its name, its training data, its classes and their thresholds. */
export function describe({ architecture, version, trained_on: trained, classes, thresholds }) {
  const which = version === null ? "not registered" : `version ${version}`;
  facts({ model: `${architecture}, ${which}`, trained });
  if (classes.join() !== Object.keys(meters).join()) build(classes);
  least = thresholds;
  for (const name of classes) meters[name].row.style.setProperty("--least", `${100 * least[name]}%`);
  at("meters").classList.add("known");
  at("threshold").hidden = false;
  const values = new Set(Object.values(least));
  const above = values.size > 1 ? "its mark" : percentage(...values);
  at("threshold").lastChild.textContent = `The model names a class only above ${above}.`;
}

/** Reset the page to its initial state. */
export function forget() {
  frames = [];
  at("answer").textContent = "–";
  at("answer").classList.remove("unsure");
  at("verdict").hidden = true;
  at("detail").textContent = "No picture yet.";
  bars({});
  facts({ rate: "–", count: "–", where: "–" });
  fail(null);
}

/** Say that a picture is being looked at: a large one takes seconds. */
export function searching() {
  at("detail").textContent = "Looking for faces…";
}

/** Count a video frame and show the frames per second. */
export function count() {
  facts({ rate: rate() });
}

/** Set the facts below the bars: `rate`, `count`, `where`, `model`, `trained`. */
export function facts(known) {
  for (const [id, text] of Object.entries(known)) at(id).textContent = text;
}

/** Show an error, and with `canUseServer` the hint that the server can answer; null clears it. */
export function fail(error, canUseServer) {
  const hint = " Nothing was sent. Turn private mode off to process pictures on the server.";
  const isGone = error?.status === 0;
  const gone =
    "The server does not answer. It may be stopped or restarting; try again in a few seconds.";
  const known = error && `No answer: ${error.message}.${canUseServer ? hint : ""}`;
  at("failure").hidden = !error;
  at("failure").textContent = isGone ? gone : (known ?? "");
  at("again").hidden = !isGone;
}

/** Ask for a token. */
export function wantToken() {
  at("access").hidden = false;
  at("token").focus();
  say("This server requires a token.");
}

/** Announce a sentence to screen readers, at once or after the interval. */
export function say(text) {
  clearTimeout(waiting);
  const wait = Math.max(0, spokenAt + ANNOUNCE_INTERVAL - Date.now());
  waiting = setTimeout(() => {
    if (text === spoken) return;
    [spoken, spokenAt] = [text, Date.now()];
    at("said").textContent = text;
  }, wait);
}

function named(face) {
  const percent = `${Math.round(share(face) * 100)}\u00a0%`;
  return face.emotion ? [face.emotion, percent] : [`unsure, perhaps ${likeliest(face)}`, percent];
}

function sentence({ reason }, chosen) {
  if (!chosen) return reason === "no_face" ? "No face was found in this picture." : reason;
  const { face, place, count } = chosen;
  const largest = `The largest of ${count} faces; choose another one in the picture.`;
  const which = place ? `Face ${place + 1} of ${count}, by size.` : largest;
  const others = count > 1 ? ` ${which}` : "";
  if (face.emotion) return `What the face looks like, not what the person feels.${others}`;
  const name = likeliest(face);
  if (least?.[name] === undefined) return `No class is probable enough to be named.${others}`;
  return `Below ${percentage(least[name])} the model does not name ${name}.${others}`;
}

const percentage = (value) => `${Number((100 * value).toFixed(1))}\u00a0%`;

function bars(probabilities) {
  const names = Object.keys(probabilities);
  if (names.some((name) => !meters[name])) build(names);
  for (const [name, { bar, number, meter }] of Object.entries(meters)) {
    const percent = Math.round((probabilities[name] ?? 0) * 100);
    bar.style.transform = `scaleX(${probabilities[name] ?? 0})`;
    number.textContent = names.length ? `${percent} %` : "–";
    meter.setAttribute("aria-valuenow", percent);
    meter.setAttribute("aria-valuetext", names.length ? `${percent} percent` : "no answer");
  }
}

function build(names) {
  const element = (tag, values) => Object.assign(document.createElement(tag), values);
  meters = {};
  at("meters").replaceChildren(
    ...names.map((name) => {
      const row = element("div", { className: "meter" });
      const [bar, number] = [element("i"), element("span", { textContent: "–" })];
      const meter = element("div", { className: "track", role: "meter", ariaLabel: name });
      meter.setAttribute("aria-valuemin", 0);
      meter.setAttribute("aria-valuemax", 100);
      meter.append(bar);
      row.append(element("b", { textContent: name }), number, meter);
      meters[name] = { row, bar, number, meter };
      return row;
    }),
  );
}

function rate() {
  const now = performance.now();
  frames = [...frames.filter((then) => now - then < RATE_WINDOW), now];
  const seconds = (now - frames[0]) / 1000;
  return seconds > 0.5 ? ((frames.length - 1) / seconds).toFixed(1) : "…";
}
