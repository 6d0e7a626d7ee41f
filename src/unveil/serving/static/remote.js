/** Processing on the server: video frames go over a WebSocket, pictures over HTTP. */

import { Refused } from "./predictions.js";

const TIMEOUT = 3000; // milliseconds after which a frame counts as dropped
const RETRIES = 5; // requests that are repeated if the server is busy
const FACE_SIDE = 64; // pixels: a picture up to this size is a face; as in face_detector.py
const QUALITY = 0.85; // of the JPEG of a frame

/** Connect to the server; returns `{look, ask, close, ...}`. */
export async function onServer({ url, token }) {
  const model = await request(`${url}/v2/models/facial-emotion`, token);
  const stream = streaming({ url, token });
  return {
    isPrivate: false,
    // A larger picture would not be treated as a face: the server would search it for faces.
    imageSize: Math.min(model.inputs[0].shape[1], FACE_SIDE),
    async look(frame, { isMoving }) {
      if (isMoving) return stream.look(await encoded(frame.canvas, "image/jpeg"));
      return posted(`${url}/v1/predict`, token, await encoded(frame.canvas, "image/png"));
    },
    async ask(faces) {
      const pictures = faces.map(base64);
      // Occluded faces must not count in metrics and drift.
      const body = new Blob([JSON.stringify({ pictures, watched: false })], { type: "application/json" });
      const answer = await posted(`${url}/v1/predict/batch`, token, body);
      return answer.pictures.map(({ faces: [face], reason }) => {
        if (!face) throw new Refused(`the server cannot read a covered face: ${reason}`);
        return Object.values(face.probabilities);
      });
    },
    close: () => stream.close(),
  };
}

/**
 * One or two frames are pending at a time. An answer to a newer frame means that older ones were
 * dropped, the reason `busy` that its own was; `look` returns null for dropped frames.
 */
function streaming({ url, token }) {
  const address = `${url.replace(/^http/, "ws")}/v1/stream`;
  const offered = token ? ["unveil", `bearer.${token}`] : ["unveil"];
  const waiting = new Map();
  let [socket, sent, isClosed] = [null, 0, false];

  const opened = () =>
    new Promise((resolve, reject) => {
      sent = 0;
      const opening = new WebSocket(address, offered);
      opening.onopen = () => resolve(opening);
      opening.onclose = () => {
        reject(new Refused("the server refused the stream"));
        socket = null;
        waiting.forEach(({ fail }) => fail(new Refused("the server closed the stream")));
      };
      opening.onmessage = ({ data }) => settle(JSON.parse(data));
    });

  const settle = ({ frame, dropped: _, error, ...answer }) => {
    const isDropped = answer.reason === "busy";
    for (const [number, { give }] of [...waiting]) {
      if (number > frame) continue;
      if (number < frame || isDropped) give(null);
      // An error of one frame does not end the stream.
      else give(error ? { faces: [], reason: error } : answer);
    }
  };

  return {
    async look(picture) {
      // It may have been closed while the frame was encoded.
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
        const timer = setTimeout(() => end(resolve)(null), TIMEOUT);
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
    const done = (file) => (file ? resolve(file) : reject(new Refused("the picture cannot be encoded")));
    canvas.toBlob(done, type, QUALITY);
  });
}

const posted = (url, token, body) =>
  request(url, token, { method: "POST", body, headers: { "content-type": body.type } });

async function request(url, token, { headers, ...options } = {}) {
  const access = token ? { authorization: `Bearer ${token}` } : {};
  const init = { ...options, headers: { ...headers, ...access }, credentials: "omit" };
  let response = await fetch(url, init);
  for (let retry = 0; response.status === 429 && retry < RETRIES; retry++) {
    const seconds = Number(response.headers.get("retry-after")) || 1;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    response = await fetch(url, init);
  }
  const content = await response.json();
  if (!response.ok) throw new Refused(content.error ?? `${response.status}`, response.status);
  return content;
}
