// One module, two hosts: `explorer` fills an element of a page, and the default export is what anywidget asks for.
// How pixels are stored is said in explorer.py: at position k of the slider those of level k or less are marked.

const MARK = [255, 0, 200];
const OUTLINE = "#00E5FF";
const SVG = "http://www.w3.org/2000/svg";

const number = (value) => value.toLocaleString("en");
const percent = (share) => `${+(100 * share).toPrecision(share > 0.9995 || share < 0.1 ? 2 : 3)} %`;
const rate = (fpr) => (fpr === 0 || fpr >= 0.01 ? `${+fpr.toPrecision(2)}` : fpr.toExponential(1).replace(".0", ""));
const share = (part, whole) => (part === 0 || part === whole ? `${100 * (part / whole)} %` : percent(part / whole));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // names of files are text, never HTML
  return made;
}

function shape(tag, attributes, parent, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

async function unpack(picture, positions) {
  const packed = Uint8Array.from(atob(picture.levels), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const content = new Uint8Array(await new Response(stream).arrayBuffer());
  const { width, height } = picture;
  const levels = content.subarray(0, width * height);
  const mask = content.length > levels.length ? content.subarray(width * height) : null;
  for (let i = 1; i < levels.length; i++) if (i % width) levels[i] += levels[i - 1];
  for (let i = width; i < levels.length; i++) levels[i] += levels[i - width];
  const counts = new Array(positions + 1).fill(0); // of the mask's pixels, or of all where there is none
  let size = 0;
  for (let i = 0; i < levels.length; i++) if (!mask || mask[i]) { counts[levels[i]]++; size++; }
  for (let k = 1; k <= positions; k++) counts[k] += counts[k - 1];
  const background = picture.image ? await load(picture.image) : grey(levels, width, height, positions);
  return { ...picture, pixels: levels, mask, counts, size, background, outline: mask && outline(mask, width, height) };
}

async function load(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

function layer(width, height, paint) {
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  paint(pixels.data);
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const grey = (levels, width, height, positions) => layer(width, height, (rgba) => {
  for (let i = 0; i < levels.length; i++) rgba.set([...Array(3).fill(200 * (1 - levels[i] / positions)), 255], 4 * i);
});

// The borders between pixels inside and outside of the mask: sharp at any size, and seen around one pixel, too.
function outline(mask, width, height) {
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] !== 0;
  for (let y = 0; y <= height; y++) for (let x = 0; x <= width; x++) {
    if (inside(x, y) !== inside(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
    if (inside(x, y) !== inside(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
  }
  return path;
}

function draw(canvas, shown, k) {
  const { width, height, pixels } = shown;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const zoom = width / (canvas.clientWidth || width);
  context.drawImage(shown.background, 0, 0, width, height);
  context.globalAlpha = 0.6;
  const few = [];
  context.drawImage(layer(width, height, (rgba) => {
    const words = new Uint32Array(rgba.buffer);
    const mark = new Uint32Array(new Uint8Array([...MARK, 255]).buffer)[0];
    for (let i = 0; i < pixels.length; i++) if (pixels[i] <= k) { words[i] = mark; if (few.length < 500) few.push(i); }
  }), 0, 0);
  context.globalAlpha = 1;
  if (few.length < 500) { // a few pixels of a large image would not be seen
    context.fillStyle = `rgb(${MARK})`;
    const size = Math.max(1, 2.5 * zoom);
    for (const i of few) context.fillRect((i % width) + (1 - size) / 2, Math.floor(i / width) + (1 - size) / 2, size, size);
  }
  if (!shown.outline) return;
  context.lineWidth = 4 * zoom;
  context.strokeStyle = "#000";
  context.lineCap = "square";
  context.stroke(shown.outline);
  context.lineWidth = 2 * zoom;
  context.strokeStyle = OUTLINE;
  context.stroke(shown.outline);
}

function slider(label, most, value, changed) {
  const input = element("input", { type: "range", min: 0, max: most, step: 1, "aria-label": label });
  input.value = value;
  input.addEventListener("input", changed);
  return input;
}

// A list of images with buttons beside it, and a canvas below.
function viewer(title, what, pictures, start, label, positions, changed) {
  const view = { shown: null };
  const select = element("select", { "aria-label": `Choose ${what}` });
  select.append(...pictures.map((picture, i) => element("option", { value: i }, label(picture))));
  view.relabel = () => pictures.forEach((picture, i) => { select.options[i].textContent = label(picture); });
  const step = (by) => {
    select.selectedIndex = (select.selectedIndex + by + pictures.length) % pictures.length;
    pick();
  };
  const [back, next] = [[-1, "◀", "Previous"], [1, "▶", "Next"]].map(([by, sign, word]) => {
    const button = element("button", { type: "button", "aria-label": `${word}: ${what}`, title: word }, sign);
    button.addEventListener("click", () => step(by));
    return button;
  });
  view.canvas = element("canvas", { role: "img" });
  view.caption = element("figcaption");
  view.root = element("figure", {}, element("h2", {}, title),
    element("div", { class: "pick" }, back, select, next), view.canvas, view.caption);
  async function pick() {
    const index = select.selectedIndex;
    const shown = await unpack(pictures[index], positions);
    if (select.selectedIndex !== index) return; // another one was picked meanwhile
    view.shown = shown;
    changed();
  }
  select.addEventListener("change", pick);
  select.selectedIndex = start;
  pick();
  return view;
}

export function explorer(root, data) {
  const { rates, bounds, numbers } = data;
  const last = rates.length - 1;
  const logs = rates.map(Math.log10);
  const score = (areas) => (areas[high()] - areas[low()]) / Math.log(rates[high()] / rates[low()]);

  const fpr = slider("Shared FPR, the share of marked pixels in normal images", last, bounds[1], () => update());
  const value = element("output", { class: "value" });
  const sentence = element("p", { class: "sentence", "aria-live": "polite" });
  const lower = slider("Lower bound L of the integration range", last, bounds[0], () => hold(lower));
  const upper = slider("Upper bound U of the integration range", last, bounds[1], () => hold(upper));
  const low = () => +lower.value, high = () => +upper.value;
  const scores = element("p", { class: "scores", "aria-live": "polite" });
  const anomalous = viewer("An image with a defect", "the image with a defect", data.anomalous, data.start,
    ({ name, areas }) => `${percent(score(areas))} · ${brief(name)}`, rates.length, () => update());
  const normal = viewer("A normal image", "the normal image", data.normal, 0,
    ({ name }) => brief(name), rates.length, () => update());

  const [left, top, wide, tall] = [52, 10, 334, 220];
  const x = (k) => left + (wide * (logs[k] - logs[0])) / (logs[last] - logs[0]);
  const y = (recall) => top + tall * (1 - recall);
  const plot = document.createElementNS(SVG, "svg");
  plot.setAttribute("viewBox", "0 0 400 276");
  plot.setAttribute("role", "img");
  const zone = shape("rect", { class: "zone", y: top, height: tall }, plot);
  for (const recall of [0, 0.25, 0.5, 0.75, 1]) {
    shape("line", { class: "grid", x1: left, x2: left + wide, y1: y(recall), y2: y(recall) }, plot);
    shape("text", { x: left - 6, y: y(recall) + 4, "text-anchor": "end" }, plot, `${100 * recall} %`);
  }
  for (let power = Math.ceil(logs[0] - 1e-9); power <= logs[last] + 1e-9; power++) {
    const at = left + (wide * (power - logs[0])) / (logs[last] - logs[0]);
    shape("line", { class: "grid", x1: at, x2: at, y1: top, y2: top + tall }, plot);
    shape("text", { x: at, y: top + tall + 18, "text-anchor": "middle" }, plot, `1e${power}`.replace("1e0", "1"));
  }
  shape("text", { x: left + wide / 2, y: top + tall + 38, "text-anchor": "middle" }, plot, "shared FPR (log scale)");
  const filled = shape("path", { class: "area" }, plot);
  const line = shape("path", { class: "curve" }, plot);
  const here = shape("line", { class: "here", y1: top, y2: top + tall }, plot);
  const point = shape("circle", { class: "point", r: 6 }, plot);
  const follow = (event) => {
    if (event.buttons !== 1) return;
    const box = plot.getBoundingClientRect();
    const place = logs[0] + ((((event.clientX - box.left) / box.width) * 400 - left) / wide) * (logs[last] - logs[0]);
    fpr.value = logs.reduce((best, log, k) => (Math.abs(log - place) < Math.abs(logs[best] - place) ? k : best), 0);
    update();
  };
  for (const kind of ["pointerdown", "pointermove"]) plot.addEventListener(kind, follow);

  const all = numbers[0] + numbers[1];
  const some = data.anomalous.length + data.normal.length;
  const notes = [
    some < all && `Shown are ${data.anomalous.length} of ${number(numbers[0])} images with a defect, of every kind ` +
      `and from worst to best, and the ${data.normal.length} of ${number(numbers[1])} normal images with most false ` +
      `marks. Thresholds, totals and means are those of all ${number(all)} images.`,
    !data.anomalous[0].image && "No images are at hand: the anomaly maps are shown in grey, the lighter the more anomalous.",
  ].filter(Boolean);
  const legend = element("p", { class: "legend" }, element("span", { class: "marked" }), "marked as anomalous ",
    element("span", { class: "outline" }), "outline of the defect's mask");

  root.classList.add("aupimo-explorer");
  root.append(
    element("div", { class: "rate" }, element("label", {}, "Shared FPR", fpr), value),
    sentence,
    element("div", { class: "panels" }, anomalous.root, normal.root,
      element("figure", {}, element("h2", {}, "The PIMO curve of the image with a defect"), plot,
        element("div", { class: "bounds" }, lower, upper), scores)),
    legend, ...notes.map((text) => element("p", { class: "note" }, text)));

  // else JupyterLab takes the arrow keys for its cells
  for (const control of root.querySelectorAll("input, select, button")) control.dataset.lmSuppressShortcuts = "true";

  function hold(moved) { // the bounds keep their order
    if (low() >= high()) moved.value = moved === lower ? high() - 1 : low() + 1;
    anomalous.relabel();
    update();
  }

  function update() {
    const [defect, other] = [anomalous.shown, normal.shown];
    if (!defect || !other) return;
    const began = performance.now();
    const k = +fpr.value;
    const [found, recall] = [defect.counts[k], defect.counts[k] / defect.size];
    const [marks, total] = [other.counts[k], data.marked[k]];
    const pixels = (count) => `${number(count)} pixel${count === 1 ? "" : "s"}`;
    value.textContent = rate(rates[k]);
    fpr.setAttribute("aria-valuetext", `${rate(rates[k])}, recall ${share(found, defect.size)}`);
    const off = data.reached[k] > 1.1 * rates[k] || data.reached[k] < rates[k] / 1.1
      ? ` No threshold comes closer to this rate: its own shared FPR is ${rate(data.reached[k])}.` : "";
    sentence.textContent = `At a shared FPR of ${rate(rates[k])} (threshold ${+data.thresholds[k].toPrecision(6)}) ` +
      `${share(found, defect.size)} of this defect is marked, and ${pixels(total)} in ${number(numbers[1])} normal ` +
      `image${numbers[1] === 1 ? "" : "s"}, ${total && marks === total ? "all" : number(marks)} of them in this one.${off}`;
    anomalous.caption.textContent = `${number(found)} of ${pixels(defect.size)} of the defect are marked: ` +
      `recall ${share(found, defect.size)}.`;
    normal.caption.textContent = `${pixels(marks)} marked, all false: an FPR of ${rate(marks / other.size)} in this image.`;
    for (const view of [anomalous, normal]) {
      draw(view.canvas, view.shown, k);
      view.canvas.setAttribute("aria-label", `${view.shown.name}. ${view.caption.textContent}`);
    }
    const points = rates.map((_, i) => `${x(i).toFixed(1)},${y(defect.counts[i] / defect.size).toFixed(1)}`);
    line.setAttribute("d", `M${points.join("L")}`);
    const inside = points.slice(low(), high() + 1).join("L");
    filled.setAttribute("d", `M${x(low())},${y(0)}L${inside}L${x(high())},${y(0)}Z`);
    zone.setAttribute("x", x(low()));
    zone.setAttribute("width", x(high()) - x(low()));
    point.setAttribute("cx", x(k));
    point.setAttribute("cy", y(recall));
    for (const end of ["x1", "x2"]) here.setAttribute(end, x(k));
    plot.setAttribute("aria-label", `PIMO curve of ${defect.name}: at a shared FPR of ${rate(rates[k])} the recall is ` +
      `${share(found, defect.size)}; the integration range from ${rate(rates[low()])} to ${rate(rates[high()])} is shaded.`);
    for (const bound of [lower, upper]) bound.setAttribute("aria-valuetext", rate(rates[+bound.value]));
    scores.textContent = `From L = ${rate(rates[low()])} to U = ${rate(rates[high()])} the AUPIMO of this image is ` +
      `${percent(score(defect.areas))}, the mean of all ${number(numbers[0])} is ${percent(score(data.areas))}.`;
    root.dataset.state = JSON.stringify({ k, recall, found, marks, total, size: other.size, milliseconds: performance.now() - began,
      score: score(defect.areas), mean: score(data.areas), anomalous: defect.name, normal: other.name });
  }
}

const brief = (name) => name.split("/").slice(-2).join("/");

export default { render: ({ model, el }) => explorer(el, model.get("data")) };
