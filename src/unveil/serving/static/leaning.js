/**
 * What an answer leans on: squares of the face are covered one after the other, and the network is
 * asked each time (occlusion sensitivity; Zeiler and Fergus, 2014). Needs no look into the network.
 */

export const GRID = 7; // squares in a row; all of them and the face itself fit into one batch

/**
 * Take a gray face `(size, size)` and what asks the network about several; gives `GRID * GRID`
 * shares of the probability of the likeliest class that are lost without each square.
 */
export async function leaning(face, size, ask) {
  const [whole, ...rows] = await ask([face, ...covered(face, size)]);
  const likeliest = whole.indexOf(Math.max(...whole));
  return rows.map((row) => whole[likeliest] - row[likeliest]);
}

function covered(face, size) {
  const mean = face.reduce((total, value) => total + value, 0) / face.length;
  return Array.from({ length: GRID * GRID }, (_, at) => {
    const made = face.slice();
    const edge = (place) => Math.round((place * size) / GRID);
    const [row, column] = [Math.floor(at / GRID), at % GRID];
    for (let y = edge(row); y < edge(row + 1); y++) {
      made.fill(mean, y * size + edge(column), y * size + edge(column + 1));
    }
    return made;
  });
}
