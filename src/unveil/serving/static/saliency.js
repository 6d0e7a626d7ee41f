/**
 * Saliency maps by occlusion (Zeiler and Fergus, 2014): each square of the face is covered in turn,
 * and the change of the prediction is measured. Needs no gradients of the network.
 */

export const GRID = 7; // squares per row; all of them and the face itself fit into one batch

/**
 * Compute the saliency map of a gray face `(size, size)`; `ask` predicts several faces. Returns
 * `GRID * GRID` values: how much probability the top class loses when that square is covered.
 */
export async function saliency(face, size, ask) {
  const [whole, ...rows] = await ask([face, ...covered(face, size)]);
  const likeliest = whole.indexOf(Math.max(...whole));
  return rows.map((row) => whole[likeliest] - row[likeliest]);
}

function covered(face, size) {
  const mean = face.reduce((total, value) => total + value, 0) / face.length;
  return Array.from({ length: GRID * GRID }, (_, at) => {
    const copy = face.slice();
    const edge = (place) => Math.round((place * size) / GRID);
    const [row, column] = [Math.floor(at / GRID), at % GRID];
    for (let y = edge(row); y < edge(row + 1); y++) {
      copy.fill(mean, y * size + edge(column), y * size + edge(column + 1));
    }
    return copy;
  });
}
