/**
 * The worker thread of private mode: detects faces and runs the network on this device.
 *
 * Takes `{id, task, ...}` and answers `{id, result}` or `{id, error}`. It fetches the bundle's card,
 * its network and that of the face detector once, and sends no data to any server.
 */

import { cut } from "./face_crop.js";
import { detector } from "./face_detector.js";
import { following } from "./face_following.js";
import { gray } from "./pixels.js";
import { noResponse } from "./predictions.js";
import * as ort from "./vendor/onnxruntime-web/ort.wasm.min.mjs";

// More threads would need special headers on the embedding page, and the network is small.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./vendor/onnxruntime-web/", import.meta.url).href;

let card, finder, follow, session;

const tasks = {
  async start({ url, token }) {
    card = await (await fetched(url, token)).json();
    const [network, faces] = await Promise.all([
      fetched(`${url}/model.onnx`, token).then((answer) => answer.arrayBuffer()),
      fetched(`${url}/detector.onnx`, token).then((answer) => answer.arrayBuffer()),
    ]);
    await checkDigest("network", network, card.digest);
    await checkDigest("face detector", faces, card.detector.digest);
    const search = await opened(faces);
    finder = detector((input) => candidates(search, input), card.detector);
    follow = following(finder, card.moving, card.following);
    session = await opened(network);
    return card;
  },

  async look({ frame, isMoving }) {
    const picture = gray(frame);
    const isFace = Math.max(picture.width, picture.height) <= card.face_side;
    const found = isFace
      ? [{ box: [0, 0, picture.width, picture.height], square: null }]
      : (await detected(frame, isMoving)).slice(0, card.most);
    const faces = found.map((one) => cut(picture, one, card.image_size));
    return { found, rows: await predicted(faces) };
  },

  ask: ({ faces }) => predicted(faces),
};

const opened = (network) =>
  ort.InferenceSession.create(new Uint8Array(network), { executionProviders: ["wasm"] });

const detected = (frame, isMoving) =>
  isMoving ? follow(frame, performance.now() / 1000) : finder.everywhere(frame, card.still);

async function candidates(search, { data, width, height }) {
  const picture = new ort.Tensor("uint8", data, [1, height, width, 3]);
  const { scores, boxes, points } = await search.run({ picture });
  return { scores: scores.data, boxes: boxes.data, points: points.data };
}

async function predicted(faces) {
  if (!faces.length) return [];
  const size = card.image_size;
  const input = new Uint8Array(faces.length * size * size);
  faces.forEach((face, at) => input.set(face, at * size * size));
  const tensor = new ort.Tensor("uint8", input, [faces.length, size, size, 1]);
  const { probabilities } = await session.run({ faces: tensor });
  const count = card.classes.length;
  return faces.map((_, at) => Array.from(probabilities.data.slice(at * count, (at + 1) * count)));
}

async function fetched(url, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(url, { headers, credentials: "omit" }).catch(async ({ message }) => {
    throw await noResponse(new URL(url).origin, `a file of the model did not load: ${message}`);
  });
  if (!answer.ok) {
    const content = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(content.error ?? `${answer.status}`), { status: answer.status });
  }
  return answer;
}

async function checkDigest(name, content, digest) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const own = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (own !== digest) throw new Error(`the ${name} has another SHA-256 than the server states`);
}

// One task after the other: an ONNX Runtime session handles one call at a time.
let last = Promise.resolve();
self.addEventListener("message", ({ data }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ id: data.id, result: await tasks[data.task](data) });
    } catch (error) {
      self.postMessage({ id: data.id, error: error.message, status: error.status });
    }
  });
});
