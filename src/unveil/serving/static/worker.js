/**
 * The thread of private mode: finds faces and asks the network, on this device.
 *
 * Takes `{id, task, ...}` and answers `{id, result}` or `{id, error}`. It fetches the bundle's card,
 * the network and the cascade once and sends nothing anywhere.
 */

import { detector } from "./cascade.js";
import { cut, gray } from "./pixels.js";
import * as ort from "./vendor/onnxruntime-web/ort.wasm.min.mjs";

// More threads need headers of the page that embeds this, and the network is small.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./vendor/onnxruntime-web/", import.meta.url).href;

let card, detect, session;

const tasks = {
  async start({ url, token }) {
    card = await (await fetched(url, token)).json();
    const [network, cascade] = await Promise.all([
      fetched(`${url}/model.onnx`, token).then((answer) => answer.arrayBuffer()),
      fetched(`${url}/cascade.xml`, token).then((answer) => answer.arrayBuffer()),
    ]);
    await refuseOther("network", network, card.digest);
    await refuseOther("cascade", cascade, card.cascade_digest);
    detect = detector(new TextDecoder().decode(cascade));
    session = await ort.InferenceSession.create(new Uint8Array(network), {
      executionProviders: ["wasm"],
    });
    return card;
  },

  async look({ frame, isMoving }) {
    const picture = gray(frame);
    const isFace = Math.max(picture.width, picture.height) <= card.face_side;
    const boxes = isFace
      ? [[0, 0, picture.width, picture.height]]
      : detect(picture, isMoving ? card.moving : card.still).slice(0, card.most);
    const faces = boxes.map((box) => cut(picture, box, card.image_size));
    return { boxes, rows: await asked(faces) };
  },

  ask: ({ faces }) => asked(faces),
};

async function asked(faces) {
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
  const answer = await fetch(url, { headers, credentials: "omit" });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.error ?? `${answer.status}`), { status: answer.status });
  }
  return answer;
}

async function refuseOther(what, content, digest) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const own = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (own !== digest) throw new Error(`the ${what} is not the one the server answers with`);
}

// One after the other: the network of ONNX Runtime is asked about one thing at a time.
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
