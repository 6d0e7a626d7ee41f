/** The texts and bars of the page; announcements for screen readers are rate-limited. */

const ANNOUNCE_INTERVAL = 3000; // milliseconds between two announcements for screen readers
const RATE_WINDOW = 3000; // milliseconds over which frames are counted
const at = (id) => document.getElementById(id);

let [spoken, spokenAt, waiting] = ["", 0, null];
let frames = [];
let meters = {};

/** Show an answer; with `isVideo` also the frame rate. */
export function show(answer, isVideo) {
  const [face] = answer.faces;
  const none = answer.reason === "no_face" ? "no face" : "no answer";
  const word = face ? (face.emotion ?? "unsure") : none;
  at("answer").textContent = word;
  at("detail").textContent = sentence(answer);
  if (face) bars(face.probabilities);
  else bars({});
  facts({ rate: isVideo ? rate() : "–", count: answer.faces.length });
  say(`${word}. ${sentence(answer)}`);
}

/** Show empty bars for the classes before the first answer. */
export function classes(names) {
  if (!Object.keys(meters).length) build(names);
}

/** Reset the page to its initial state. */
export function forget() {
  frames = [];
  at("answer").textContent = "–";
  at("detail").textContent = "No picture yet.";
  bars({});
  facts({ rate: "–", count: "–", where: "–" });
  fail(null);
}

/** Set the facts below the bars: `rate`, `count`, `where`. */
export function facts(known) {
  for (const [id, text] of Object.entries(known)) at(id).textContent = text;
}

/** Show an error, and with `canUseServer` the hint that the server can answer; null clears it. */
export function fail(error, canUseServer) {
  const hint = " Nothing was sent. Turn private mode off to process pictures on the server.";
  at("failure").hidden = !error;
  at("failure").textContent = error ? `No answer: ${error.message}.${canUseServer ? hint : ""}` : "";
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

function sentence({ faces, reason }) {
  if (!faces.length) return reason === "no_face" ? "No face was found in this picture." : reason;
  const others = faces.length > 1 ? ` This is the largest of ${faces.length} faces.` : "";
  if (faces[0].emotion) return `What the face looks like, not what the person feels.${others}`;
  return `No class is probable enough to be named.${others}`;
}

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
      meters[name] = { bar, number, meter };
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
