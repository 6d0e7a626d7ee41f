/** Private mode: the server's own network, asked on this device; no pixel is sent anywhere. */

import { answered, Refused } from "./answers.js";

const PART = 8; // faces the network is asked about at once

/** Start it: fetches the network (some 20 MB the first time). Gives `{look, ask, close, ...}`. */
export async function onDevice({ url, token }) {
  const thread = worker();
  const card = await thread.run("start", { url: `${url}/v1/device`, token }).catch((error) => {
    thread.close();
    throw error;
  });
  return {
    isPrivate: true,
    imageSize: card.image_size,
    classes: card.classes,
    async look(frame, { isMoving }) {
      const { boxes, rows } = await thread.run("look", { frame: frame.data, isMoving });
      return answered(boxes, rows, card);
    },
    async ask(faces) {
      const rows = [];
      // In parts, so that frames of a video do not wait for all of them.
      for (let at = 0; at < faces.length; at += PART) {
        rows.push(...(await thread.run("ask", { faces: faces.slice(at, at + PART) })));
      }
      return rows;
    },
    close: () => thread.close(),
  };
}

function worker() {
  const { made, forget } = opened(new URL("./worker.js", import.meta.url));
  const waiting = new Map();
  let [count, over] = [0, null];
  const end = (error) => {
    over ??= error;
    waiting.forEach(({ reject }) => reject(error));
    waiting.clear();
  };
  made.addEventListener("message", ({ data }) => {
    const { resolve, reject } = waiting.get(data.id) ?? {};
    waiting.delete(data.id);
    if (data.error === undefined) resolve?.(data.result);
    else reject?.(new Refused(data.error, data.status));
  });
  made.addEventListener("error", () => end(new Error("private mode does not run here")));
  return {
    run(task, values) {
      const id = count++;
      return new Promise((resolve, reject) => {
        if (over) throw over;
        waiting.set(id, { resolve, reject });
        made.postMessage({ id, task, ...values });
      });
    },
    close() {
      made.terminate();
      forget();
      end(new Error("stopped"));
    },
  };
}

function opened(url) {
  if (url.origin === location.origin) {
    return { made: new Worker(url, { type: "module" }), forget() {} };
  }
  // Browsers start no worker of another origin, but one that imports from there.
  const blob = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const near = URL.createObjectURL(blob);
  return { made: new Worker(near, { type: "module" }), forget: () => URL.revokeObjectURL(near) };
}
