/** Processing on the server: video frames go over a WebSocket, pictures over HTTP. */

import { noResponse, Refused } from "./predictions.js";

const TIMEOUT = 3000; // milliseconds after which a frame counts as dropped
const SILENT = 3; // frames without an answer after which the server is asked whether it is there
const RETRIES = 5; // requests that are repeated if the server is busy
const REVOKED = 1008; // the close code of a stream whose token was revoked
const FACE_SIDE = 64; // pixels: a picture up to this size is a face; as in face_detector.py
const QUALITY = 0.85; // of the JPEG of a frame
const MODEL_AGE = 60_000; // milliseconds; answers about frames do not say which model made them

/** Connect to the server; returns `{look, ask, close, ...}`. */
export async function onServer({ url, token }) {
  const described = () => request(`${url}/v1/model`, token);
  let [model, asked] = [await described(), Date.now()];
  // The answer about a picture counts even if this fails.
  const refresh = () => {
    asked = Date.now();
    return described().then((active) => (model = active), () => {});
  };
  const stream = streaming({ url, token });
  return {
    isPrivate: false,
    /** The active model; the server may replace it. */
    get model() {
      return model;
    },
    // A larger picture would not be treated as a face: the server would search it for faces.
    imageSize: Math.min(model.image_size, FACE_SIDE),
    async look(frame, { isMoving }) {
      if (isMoving) {
        if (Date.now() - asked > MODEL_AGE) refresh();
        return stream.look(await encoded(frame.canvas, "image/jpeg"));
      }
      const file = await encoded(frame.canvas, "image/png");
      const answer = await posted(`${url}/v1/predict`, token, file);
      if (answer.model && answer.model.digest !== model.digest) await refresh();
      return answer;
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
  let [socket, sent, silent, isClosed] = [null, 0, 0, false];

  const failAll = (error) => waiting.forEach(({ fail }) => fail(error));

  const opened = () =>
    new Promise((resolve, reject) => {
      [sent, silent] = [0, 0];
      const opening = new WebSocket(address, offered);
      let isOpen = false;
      opening.onopen = () => {
        isOpen = true;
        resolve(opening);
      };
      opening.onclose = async ({ code }) => {
        if (isClosed) return reject(new Refused("the stream was closed"));
        // A browser does not say why a stream was not opened or broke off.
        const error =
          code === REVOKED
            ? new Refused("the token is no longer valid", 401)
            : await noResponse(url, `the server ${isOpen ? "closed" : "refused"} the stream`);
        // Only now, so that no other stream is opened meanwhile.
        socket = null;
        reject(error);
        failAll(error);
      };
      opening.onmessage = ({ data }) => settle(JSON.parse(data));
    });

  const late = async (give) => {
    give(null);
    silent++;
    if (silent !== SILENT || isClosed) return;
    const error = await noResponse(url, "");
    if (error.status === 0) failAll(error);
    else silent = 0;
  };

  const settle = ({ frame, dropped: _, error, ...answer }) => {
    const isDropped = answer.reason === "busy";
    silent = 0;
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
        const timer = setTimeout(() => late(end(resolve)), TIMEOUT);
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
  let response = await answered(url, init);
  for (let retry = 0; response.status === 429 && retry < RETRIES; retry++) {
    const seconds = Number(response.headers.get("retry-after")) || 1;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    response = await answered(url, init);
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(content.error ?? `status ${response.status}`, response.status);
  return content;
}

function answered(url, init) {
  return fetch(url, init).catch(async ({ message }) => {
    throw await noResponse(new URL(url).origin, `the request failed: ${message}`);
  });
}
