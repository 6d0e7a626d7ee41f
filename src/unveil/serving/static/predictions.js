/** The form of answers, the same from device and server, and the error class. */

const PROBE_TIMEOUT = 5000; // milliseconds

/** No answer; `status` is the HTTP status, if known, and 0 if the server does not answer. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Return the error of a request that got no response: is the server gone, or only the request? */
export async function noResponse(url, message) {
  const init = { mode: "no-cors", credentials: "omit", signal: AbortSignal.timeout(PROBE_TIMEOUT) };
  const isUp = await fetch(`${url}/healthz`, init).then(
    () => true,
    () => false,
  );
  return isUp ? new Refused(message) : new Refused("the server does not answer", 0);
}

/** Convert found faces and rows of probabilities to an answer as the server gives it. */
export function answered(found, rows, { classes, abstain_below, thresholds }) {
  const faces = found.map((place, at) => {
    const probabilities = Object.fromEntries(classes.map((name, place) => [name, rows[at][place]]));
    const likeliest = classes.reduce((one, other) =>
      probabilities[other] > probabilities[one] ? other : one,
    );
    // A server of an older version has one threshold for all classes.
    const least = thresholds?.[likeliest] ?? abstain_below;
    const isUnsure = least !== null && probabilities[likeliest] < least;
    return {
      emotion: isUnsure ? null : likeliest,
      reason: isUnsure ? "unsure" : null,
      probabilities,
      ...place,
    };
  });
  return { faces, reason: faces.length ? null : "no_face" };
}
