/**
 * The boxes of faces over a picture, as buttons: a face is chosen by pointer, touch or keyboard.
 *
 * In a video a face keeps its button from frame to frame, so that focus and choice stay with it.
 */

const KEPT = 700; // milliseconds for which the box of a face stays that is not found again
const LOW = 0.14; // share of the height below which a label does not fit above its box
const RIGHT = 0.6; // share of the width from which a label is aligned with the right of its box

/** Manage the buttons in `layer`; `onChoose` is called when another face is chosen. */
export function faceBoxes(layer, onChoose) {
  let slots = []; // {button, tag, face, seen}
  let chosen = null;

  const area = ({ face }) => face.box[2] * face.box[3];
  const ordered = () => [...slots].sort((one, other) => area(other) - area(one));
  const current = () => chosen ?? ordered()[0] ?? null;

  function choose(slot) {
    const before = current();
    chosen = slot;
    if (before === slot) return;
    label();
    onChoose();
  }

  function slotFor(face, free) {
    const near = free.filter((slot) => distance(slot.face.box, face.box) < Math.max(...face.box.slice(2)));
    near.sort((one, other) => distance(one.face.box, face.box) - distance(other.face.box, face.box));
    return near[0] ?? added();
  }

  function added() {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "face" });
    const tag = Object.assign(document.createElement("span"), { className: "tag" });
    const slot = { button, tag };
    button.append(tag);
    for (const kind of ["pointerenter", "focus", "click"]) {
      button.addEventListener(kind, () => choose(slot));
    }
    layer.append(button);
    return slot;
  }

  function label() {
    const all = ordered();
    all.forEach((slot, place) => {
      const { button, tag, face } = slot;
      const [word, percent] = [face.emotion ?? "unsure", Math.round(share(face) * 100)];
      tag.textContent = word;
      const least = face.emotion ? `looks ${word}` : `unsure, perhaps ${likeliest(face)}`;
      button.ariaLabel = `Face ${place + 1} of ${all.length}: ${least}, ${percent} percent`;
      button.ariaPressed = String(slot === current());
      button.classList.toggle("unsure", !face.emotion);
      // Smaller faces are above larger ones.
      button.style.zIndex = place + 1;
    });
  }

  return {
    /** Show the faces of an answer; `isMirrored` flips them horizontally, as in a mirror. */
    show({ faces, width, height }, isMirrored) {
      const now = performance.now();
      const free = [...slots];
      for (const face of faces) {
        const slot = slotFor(face, free);
        if (free.includes(slot)) free.splice(free.indexOf(slot), 1);
        else slots.push(slot);
        Object.assign(slot, { face, seen: now });
        place(slot.button, face.box, [width, height], isMirrored);
      }
      for (const slot of free.filter(({ seen }) => now - seen > KEPT)) {
        slot.button.remove();
        slots = slots.filter((one) => one !== slot);
        if (slot === chosen) chosen = null;
      }
      layer.hidden = !slots.length;
      layer.style.aspectRatio = `${width} / ${height}`;
      label();
    },

    /** Remove all boxes. */
    clear() {
      [slots, chosen] = [[], null];
      layer.replaceChildren();
      layer.hidden = true;
    },

    /** The chosen face, by default the largest, and its place by size: `{face, place, count}`. */
    current() {
      const slot = current();
      return slot && { slot, face: slot.face, place: ordered().indexOf(slot), count: slots.length };
    },
  };
}

/** The most probable class of a face, also if it is not named. */
export const likeliest = ({ probabilities }) =>
  Object.keys(probabilities).reduce((one, other) =>
    probabilities[other] > probabilities[one] ? other : one,
  );

/** The probability of the most probable class. */
export const share = (face) => face.probabilities[likeliest(face)];

function distance([x, y, w, h], [left, top, wide, high]) {
  return Math.hypot(x + w / 2 - left - wide / 2, y + h / 2 - top - high / 2);
}

function place(button, [x, y, w, h], [width, height], isMirrored) {
  const left = isMirrored ? width - x - w : x;
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(button.style, {
    left: percent(left, width),
    top: percent(y, height),
    width: percent(w, width),
    height: percent(h, height),
  });
  button.classList.toggle("low", y / height < LOW);
  button.classList.toggle("right", left / width > RIGHT);
}
