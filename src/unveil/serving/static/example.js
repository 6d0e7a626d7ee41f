/** The example: the user's camera stands in for the video of a call. */

import { cleared, outline } from "./draw.js";
import { watch } from "./unveil.js";

const [video, over, start, word, token] = ["call", "over", "start", "word", "token"].map((id) =>
  document.getElementById(id),
);
let stop = null;
let last = 0;

start.addEventListener("click", async () => {
  if (stop) return end("The camera is off.");
  // While the browser asks for permission, a second click would start a second camera.
  start.disabled = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
    await video.play();
  } catch (error) {
    return end(`No camera: ${error.message}`);
  } finally {
    start.disabled = false;
  }
  start.textContent = "Stop";
  word.textContent = "Loading the model…";
  const onError = (error) => end(`No answer: ${error.message}`);
  stop = watch(video, { token: token.value.trim(), onAnswer, onError });
});

function onAnswer(answer) {
  outline(cleared(over, answer), answer, false);
  // Do not flood screen readers.
  if (Date.now() - last < 2000) return;
  last = Date.now();
  const [face] = answer.faces;
  if (face) word.textContent = `Looks ${face.emotion ?? "unsure"}.`;
  else word.textContent = answer.reason === "no_face" ? "No face." : `No answer: ${answer.reason}.`;
}

function end(message) {
  stop?.();
  stop = null;
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  cleared(over, over);
  start.textContent = "Start";
  word.textContent = message;
}
