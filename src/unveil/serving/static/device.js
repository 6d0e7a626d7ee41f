/** Private mode: the server's network runs on this device; no pixel is sent anywhere. */

import { answered, noResponse, Refused } from "./predictions.js";

const PART = 8; // faces per call of the network
/** A module with one function that returns a vector of 128 bits. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0]
  .concat([10, 8, 1, 6, 0, 65, 0, 253, 15, 11]);

/** Start private mode; fetches about 20 MB the first time. Returns `{look, ask, close, ...}`. */
export async function onDevice({ url, token }) {
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Refused("private mode needs WebAssembly with SIMD, which this browser does not have");
  }
  const thread = worker(url);
  const card = await thread.run("start", { url: `${url}/v1/device`, token }).catch((error) => {
    thread.close();
    throw error;
  });
  return {
    isPrivate: true,
    imageSize: card.image_size,
    classes: card.classes,
    model: { ...card.model, classes: card.classes, thresholds: card.thresholds },
    async look(frame, { isMoving }) {
      const { found, rows } = await thread.run("look", { frame: frame.data, isMoving });
      return answered(found, rows, card);
    },
    async ask(faces) {
      const rows = [];
      // In parts, so that video frames do not wait for all faces.
      for (let at = 0; at < faces.length; at += PART) {
        rows.push(...(await thread.run("ask", { faces: faces.slice(at, at + PART) })));
      }
      return rows;
    },
    close: () => thread.close(),
  };
}

function worker(url) {
  const { thread, release } = startWorker(new URL("./worker.js", import.meta.url));
  const waiting = new Map();
  let [count, over] = [0, null];
  const end = (error) => {
    over ??= error;
    waiting.forEach(({ reject }) => reject(error));
    waiting.clear();
  };
  thread.addEventListener("message", ({ data }) => {
    const { resolve, reject } = waiting.get(data.id) ?? {};
    waiting.delete(data.id);
    if (data.error === undefined) resolve?.(data.result);
    else reject?.(new Refused(data.error, data.status));
  });
  // The script of the worker comes from the server, too.
  const broken = () => noResponse(url, "private mode does not work here").then(end);
  thread.addEventListener("error", broken);
  return {
    run(task, values) {
      const id = count++;
      return new Promise((resolve, reject) => {
        if (over) throw over;
        waiting.set(id, { resolve, reject });
        thread.postMessage({ id, task, ...values });
      });
    },
    close() {
      thread.terminate();
      release();
      end(new Error("stopped"));
    },
  };
}

function startWorker(url) {
  if (url.origin === location.origin) {
    return { thread: new Worker(url, { type: "module" }), release() {} };
  }
  // Browsers start no worker from another origin, but a local one may import from there.
  const blob = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const local = URL.createObjectURL(blob);
  const thread = new Worker(local, { type: "module" });
  return { thread, release: () => URL.revokeObjectURL(local) };
}
