/** The server is asked: frames go over a WebSocket, pictures and covered faces over HTTP. */

import { Refused } from "./answers.js";

const LATE = 3000; // milliseconds after which a frame counts as dropped
const PATIENCE = 5; // times to come back to a server that is busy
const FACE_SIDE = 64; // pixels: a picture that is not larger is a face already; as in detect.py
const QUALITY = 0.85; // of the JPEG of a frame

/** Ask whether the server answers; gives `{look, ask, close, ...}`. */
export async function onServer({ url, token }) {
  const model = await asked(`${url}/v2/models/facial-emotion`, token);
  const stream = streaming({ url, token });
  return {
    isPrivate: false,
    // What is larger would not be taken for a face, but looked through for one.
    imageSize: Math.min(model.inputs[0].shape[1], FACE_SIDE),
    async look(frame, { isMoving }) {
      if (isMoving) return stream.look(await encoded(frame.canvas, "image/jpeg"));
      return posted(`${url}/v1/predict`, token, await encoded(frame.canvas, "image/png"));
    },
    async ask(faces) {
      const pictures = faces.map(base64);
      // Covered faces are no faces of anybody: they are not to count as such.
      const body = new Blob([JSON.stringify({ pictures, watched: false })], { type: "application/json" });
      const told = await posted(`${url}/v1/predict/batch`, token, body);
      return told.pictures.map(({ faces: [face], reason }) => {
        if (!face) throw new Refused(`the server cannot read a covered face: ${reason}`);
        return Object.values(face.probabilities);
      });
    },
    close: () => stream.close(),
  };
}

/**
 * One frame or two are under way at a time. A newer answer tells that older ones were dropped, one
 * whose reason is `busy` that its own was; `look` gives null for these.
 */
function streaming({ url, token }) {
  const address = `${url.replace(/^http/, "ws")}/v1/stream`;
  const offered = token ? ["unveil", `bearer.${token}`] : ["unveil"];
  const waiting = new Map();
  let [socket, sent, isClosed] = [null, 0, false];

  const opened = () =>
    new Promise((resolve, reject) => {
      sent = 0;
      const made = new WebSocket(address, offered);
      made.onopen = () => resolve(made);
      made.onclose = () => {
        reject(new Refused("the server does not take the stream"));
        socket = null;
        waiting.forEach(({ fail }) => fail(new Refused("the server closed the stream")));
      };
      made.onmessage = ({ data }) => settle(JSON.parse(data));
    });

  const settle = ({ frame, dropped: _, error, ...answer }) => {
    const isDropped = answer.reason === "busy";
    for (const [number, { give }] of [...waiting]) {
      if (number > frame) continue;
      if (number < frame || isDropped) give(null);
      // The next frame may well be answered.
      else give(error ? { faces: [], reason: error } : answer);
    }
  };

  return {
    async look(picture) {
      // It may have been closed while the frame was made a file of.
      if (isClosed) return null;
      socket ??= opened();
      const open = await socket;
      if (isClosed) {
        open.close();
        return null;
      }
      return new Promise((resolve, reject) => {
        const number = sent++;
        const end = (done) => (value) => {
          clearTimeout(timer);
          waiting.delete(number);
          done(value);
        };
        const timer = setTimeout(() => end(resolve)(null), LATE);
        waiting.set(number, { give: end(resolve), fail: end(reject) });
        open.send(picture);
      });
    },
    close() {
      isClosed = true;
      waiting.forEach(({ give }) => give(null));
      socket?.then((open) => open.close(), () => {});
    },
  };
}

function base64(face) {
  const size = Math.sqrt(face.length);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const image = new ImageData(size, size);
  face.forEach((value, at) => image.data.set([value, value, value, 255], at * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}

function encoded(canvas, type) {
  return new Promise((resolve, reject) => {
    const made = (file) => (file ? resolve(file) : reject(new Refused("no picture can be made of it")));
    canvas.toBlob(made, type, QUALITY);
  });
}

const posted = (url, token, body) =>
  asked(url, token, { method: "POST", body, headers: { "content-type": body.type } });

async function asked(url, token, { headers, ...options } = {}) {
  const known = token ? { authorization: `Bearer ${token}` } : {};
  const asking = { ...options, headers: { ...headers, ...known }, credentials: "omit" };
  let answer = await fetch(url, asking);
  for (let again = 0; answer.status === 429 && again < PATIENCE; again++) {
    const seconds = Number(answer.headers.get("retry-after")) || 1;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    answer = await fetch(url, asking);
  }
  const told = await answer.json();
  if (!answer.ok) throw new Refused(told.error ?? `${answer.status}`, answer.status);
  return told;
}
