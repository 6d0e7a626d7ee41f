/** What the page says: in words and bars, and to screen readers no faster than one can listen. */

const SPOKEN_EVERY = 3000; // milliseconds between two sentences for those who listen
const RATE_OVER = 3000; // milliseconds over which frames are counted
const at = (id) => document.getElementById(id);

let [spoken, spokenAt, waiting] = ["", 0, null];
let frames = [];
let meters = {};

/** Show an answer; `isVideo` counts frames. */
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

/** Show bars of classes before anything is known. */
export function classes(names) {
  if (!Object.keys(meters).length) build(names);
}

/** Show nothing, as at the beginning. */
export function forget() {
  frames = [];
  at("answer").textContent = "–";
  at("detail").textContent = "No picture yet.";
  bars({});
  facts({ rate: "–", count: "–", where: "–" });
  fail(null);
}

/** Put facts below the bars: `rate`, `count`, `where`. */
export function facts(known) {
  for (const [id, text] of Object.entries(known)) at(id).textContent = text;
}

/** Say why there is no answer, and if the server could give one; nothing takes that away. */
export function fail(error, isServerLeft) {
  const left = " Nothing was sent. Without private mode, the server can look.";
  const turned = isServerLeft ? left : "";
  at("failure").hidden = !error;
  at("failure").textContent = error ? `No answer: ${error.message}.${turned}` : "";
}

/** Ask for a token. */
export function wantToken() {
  at("access").hidden = false;
  at("token").focus();
  say("This server wants a token.");
}

/** Say a sentence to those who listen, at once or when the last one has been heard. */
export function say(text) {
  clearTimeout(waiting);
  const wait = Math.max(0, spokenAt + SPOKEN_EVERY - Date.now());
  waiting = setTimeout(() => {
    if (text === spoken) return;
    [spoken, spokenAt] = [text, Date.now()];
    at("said").textContent = text;
  }, wait);
}

function sentence({ faces, reason }) {
  if (!faces.length) return reason === "no_face" ? "Nobody is seen in this picture." : reason;
  const others = faces.length > 1 ? ` Of the largest of ${faces.length} faces.` : "";
  if (faces[0].emotion) return `What the face looks like, not what the person feels.${others}`;
  return `It looks like none of them clearly enough to name one.${others}`;
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
  const made = (tag, values) => Object.assign(document.createElement(tag), values);
  meters = {};
  at("meters").replaceChildren(
    ...names.map((name) => {
      const row = made("div", { className: "meter" });
      const [bar, number] = [made("i"), made("span", { textContent: "–" })];
      const meter = made("div", { className: "track", role: "meter", ariaLabel: name });
      meter.setAttribute("aria-valuemin", 0);
      meter.setAttribute("aria-valuemax", 100);
      meter.append(bar);
      row.append(made("b", { textContent: name }), number, meter);
      meters[name] = { bar, number, meter };
      return row;
    }),
  );
}

function rate() {
  const now = performance.now();
  frames = [...frames.filter((then) => now - then < RATE_OVER), now];
  const seconds = (now - frames[0]) / 1000;
  return seconds > 0.5 ? ((frames.length - 1) / seconds).toFixed(1) : "…";
}
