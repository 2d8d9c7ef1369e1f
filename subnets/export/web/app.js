// The page: where pictures come from, and what is shown of the people in them.
const MOST_PIXELS = 16_000_000; // more than that some phones cannot draw
const OUTLINE = 'rgb(20, 20, 20)';
const element = id => document.getElementById(id);
const [canvas, video, stage, status] = ['view', 'video', 'stage', 'status'].map(element);
const worker = new Worker('worker.js', { type: 'module' });
const source = document.createElement('canvas'); // the picture at its own size
const shown = { people: [], times: [], width: 0, height: 0 };
const waiting = []; // for answers of the worker, which come in the order of the questions
let network;
let playing = 0; // what is shown; whatever began before it ends
let facing = 'environment';

const tell = (state, text) => {
  document.body.dataset.state = state;
  status.textContent = text;
};
// What is broken off by something else is no failure.
const fail = error => error.name === 'AbortError' || tell('error', error.message ?? String(error));

worker.onerror = event =>
  fail(event.message || 'the network cannot be started; is every file of the folder there?');
worker.onmessage = ({ data }) => {
  if (data.network) start(data.network);
  else if (!waiting.length) fail(data.error);
  else if (data.error) waiting.shift().reject(new Error(data.error));
  else waiting.shift().resolve(data.found);
};

// The people in what `source` holds: {people, prepare, network, group}, the last three in milliseconds.
function find() {
  const { data } = source
    .getContext('2d', { willReadFrequently: true })
    .getImageData(0, 0, source.width, source.height);
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage({ pixels: data.buffer, width: source.width, height: source.height }, [data.buffer]);
  });
}

function take(image, width, height) {
  const share = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  source.width = Math.max(1, Math.round(width * share));
  source.height = Math.max(1, Math.round(height * share));
  source.getContext('2d', { willReadFrequently: true }).drawImage(image, 0, 0, source.width, source.height);
}

// One picture; the result, or undefined if something else was begun.
async function picture(blob) {
  const mine = stop();
  tell('busy', 'Looking for people ...');
  const image = await createImageBitmap(blob);
  take(image, image.width, image.height);
  const found = await find();
  if (mine !== playing) return undefined;
  show(found, '');
  return found;
}

// Pictures of `video` one after the other, until something else begins.
async function moving() {
  const mine = ++playing;
  element('stop').hidden = false;
  await video.play();
  let last = performance.now();
  let mean = 0;
  while (mine === playing) {
    if (video.readyState < 2 || !video.videoWidth) {
      await new Promise(requestAnimationFrame);
      continue;
    }
    take(video, video.videoWidth, video.videoHeight);
    const found = await find();
    if (mine !== playing) return;
    const now = performance.now();
    mean = mean ? 0.9 * mean + 0.1 * (now - last) : now - last;
    last = now;
    show(found, `, ${(1000 / mean).toFixed(1)} pictures a second`);
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  playing++;
  video.pause();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute('src');
  element('stop').hidden = true;
  element('camera').textContent = 'Camera';
  return playing;
}

async function openFile(file) {
  element('check').textContent = '';
  try {
    if (!file.type.startsWith('video/')) return await picture(file);
    stop();
    video.src = URL.createObjectURL(file);
    return await moving();
  } catch (error) {
    const unread = ['InvalidStateError', 'NotSupportedError', 'EncodingError'].includes(error.name);
    return fail(unread ? `${file.name} is no picture or video that this browser reads` : error);
  }
}

async function openCamera() {
  if (!navigator.mediaDevices)
    return fail('Browsers give the camera to pages of https addresses and of localhost alone');
  if (video.srcObject) facing = facing === 'user' ? 'environment' : 'user';
  stop();
  element('check').textContent = '';
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: facing, width: { ideal: 1280 } },
    });
    element('camera').textContent = 'Other camera';
    await moving();
  } catch (error) {
    stop();
    const told = { NotAllowedError: 'The camera was not allowed', NotFoundError: 'There is no camera' };
    fail(told[error.name] ?? error);
  }
  return undefined;
}

function show(found, rate) {
  const times = [found.prepare, found.network, found.group];
  Object.assign(shown, { people: found.people, times, width: source.width, height: source.height });
  const total = found.prepare + found.network + found.group;
  const ms = value => value.toFixed(value < 10 ? 1 : 0);
  draw();
  document.body.dataset.state = 'done';
  element('times').textContent =
    `${ms(total)} ms for this picture: prepare ${ms(found.prepare)}, ` +
    `network ${ms(found.network)}, people ${ms(found.group)}${rate}`;
}

// The picture and its people, as sharp as the screen.
function draw() {
  const dots = devicePixelRatio || 1;
  const width = stage.clientWidth;
  const scale = Math.min(width / shown.width, Math.max(240, 0.62 * innerHeight) / shown.height);
  canvas.style.width = `${Math.round(shown.width * scale)}px`;
  canvas.width = Math.round(shown.width * scale * dots);
  canvas.height = Math.round(shown.height * scale * dots);
  const count = paint(canvas, scale * dots);
  tell('done', count === 1 ? '1 person' : `${count || 'No'} people`);
  element('shown').textContent = Number(element('score').value).toFixed(2);
}

function paint(onto, scale) {
  const context = onto.getContext('2d');
  const least = Number(element('score').value);
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, onto.width, onto.height);
  context.lineCap = 'round';
  const people = shown.people.filter(person => person.score >= least);
  for (const person of [...people].reverse()) skeleton(context, person.joints, scale);
  return people.length;
}

function skeleton(context, joints, scale) {
  const { draw: look, sides } = network;
  const seen = joints.map(([, , score]) => score > 0 && score >= look.joint);
  const spread = axis => {
    const values = joints.filter(joint => joint[2] > 0).map(joint => joint[axis]);
    return values.length ? Math.max(...values) - Math.min(...values) : 0;
  };
  const smallest = Math.max(1 / scale, Math.min(shown.width, shown.height) / 300);
  const width = scale * Math.min(Math.max(Math.max(spread(0), spread(1)) / 50, smallest), 6 * smallest);
  const colour = side => `rgb(${look.colours[side].join()})`;
  const limbs = network.skeleton.edges.filter(([a, b]) => seen[a] && seen[b]);
  for (const extra of [Math.max(1, 0.35 * width), 0]) {
    for (const [a, b] of limbs) {
      const own = new Set([sides[a], sides[b]].filter(side => side !== 'middle'));
      context.strokeStyle = extra ? OUTLINE : colour(own.size === 1 ? [...own][0] : 'middle');
      context.lineWidth = width + 2 * extra;
      context.beginPath();
      context.moveTo(joints[a][0] * scale, joints[a][1] * scale);
      context.lineTo(joints[b][0] * scale, joints[b][1] * scale);
      context.stroke();
    }
  }
  joints.forEach(([x, y], joint) => {
    for (const extra of seen[joint] ? [Math.max(1, 0.35 * width), 0] : []) {
      context.fillStyle = extra ? OUTLINE : colour(sides[joint]);
      context.beginPath();
      context.arc(x * scale, y * scale, 0.9 * width + extra, 0, 2 * Math.PI);
      context.fill();
    }
  });
}

function save() {
  const whole = document.createElement('canvas');
  whole.width = shown.width;
  whole.height = shown.height;
  paint(whole, 1);
  whole.toBlob(blob => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = 'people.png';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

// The network is there: begin with the sample, whose people Python found when the page was made.
async function start(about) {
  network = about;
  document.title = `${network.name}: people and their joints`;
  element('score').value = network.draw.score;
  const input = network.input_shape?.join(' x ') ?? `${network.side} on the short side`;
  element('details').textContent =
    `${network.name}, input ${input}, ${network.skeleton.joints.length} joints; ` +
    `${network.toolkit}, ${network.runtime}, one thread`;
  try {
    const found = await picture(await (await fetch('sample.png')).blob());
    if (found) element('check').textContent = compared(found.people, network.sample);
  } catch (error) {
    fail(error);
  }
}

function compared(found, wanted) {
  if (found.length !== wanted.length)
    return `The sample's ${wanted.length} people, as Python found them, are ${found.length} here!`;
  const far = found.flatMap((person, i) =>
    person.joints.map((joint, j) =>
      Math.hypot(joint[0] - wanted[i].joints[j][0], joint[1] - wanted[i].joints[j][1]),
    ),
  );
  const text = Math.max(0, ...far).toFixed(2);
  return `The sample shows what Python found in it: ${wanted.length} people, at most ${text} pixels apart.`;
}

element('file').onchange = event => {
  const [file] = event.target.files;
  if (file) openFile(file);
  event.target.value = '';
};
element('camera').onclick = openCamera;
element('stop').onclick = stop;
element('save').onclick = save;
element('score').oninput = draw;
addEventListener('resize', () => shown.width && draw());
for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => {
    event.preventDefault();
    stage.classList.toggle('over', name === 'dragover');
    if (name === 'drop' && event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  });
}
addEventListener('paste', event => {
  const [file] = event.clipboardData.files;
  if (file) openFile(file);
});
export { openFile, shown }; // for programs and tests
