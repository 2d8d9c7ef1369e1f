// The network, beside the page, so that the page never waits for it. One thread: more would need a server that
// sends COOP and COEP headers.
import * as ort from './ort.js';
import { people } from './people.js';
import { prepare } from './prepare.js';

async function bytes(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
  return answer.arrayBuffer();
}

async function open() {
  const network = JSON.parse(new TextDecoder().decode(await bytes('network.json')));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await bytes('ort.wasm');
  const session = await ort.InferenceSession.create(await bytes('model.onnx'), {
    executionProviders: ['wasm'],
  });
  return { network, session };
}

async function find({ pixels, width, height }, { network, session }) {
  const start = performance.now();
  const view = prepare(new Uint8ClampedArray(pixels), width, height, network);
  const input = new ort.Tensor('float32', view.data, [1, 3, view.height, view.width]);
  const prepared = performance.now();
  const found = await session.run({ [session.inputNames[0]]: input });
  const computed = performance.now();
  const outputs = Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data]));
  const persons = people(outputs, view, network);
  const end = performance.now();
  return { people: persons, prepare: prepared - start, network: computed - prepared, group: end - computed };
}

const opened = open();
opened.then(
  ({ network }) => postMessage({ network }),
  error => postMessage({ error: error.message }),
);
// One picture after the other, answered in that order.
let last = opened.catch(() => undefined);
onmessage = ({ data }) => {
  last = last
    .then(() => opened)
    .then(it => find(data, it))
    .then(
      found => postMessage({ found }),
      error => postMessage({ error: error.message }),
    );
};
