/* The page: sources on the left of the connection, results on the right, settings beside. */

import { request } from "./api.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { makeDivider } from "./divider.js";
import { Drawing } from "./drawing.js";
import { camera, file, ofDrawing, pictureAt, screen } from "./sources.js";

const STATES = {
  idle: "Not connected", connecting: "Connecting …", waiting: "Waiting", live: "Live", lost: "Connection lost",
};
const COLOURS = ["#1d3557", "#e63946", "#f4a261", "#2a9d8f", "#8ecae6", "#6d597a", "#000000", "#ffffff"];
const $ = (id) => document.getElementById(id);
const stage = $("stage"), result = $("result"), preview = $("source");
const connection = new Connection(), drawing = new Drawing($("drawing"), $("nib"));
const controls = new Controls((values) => change(values));
let source = null, session = 1;

/* Messages */

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

async function attempt(work) {
  try {
    say("");
    return await work();
  } catch (error) {
    say(error.name === "NotAllowedError" ? "The browser was not allowed to use it." : error.message);
    return null;
  }
}

/* Settings */

async function change(values) {
  if (connection.live) connection.send({ type: "settings", values });
  else await attempt(async () => controls.show((await request("PATCH", `settings?session=${session}`, values)).body));
}

async function load() {
  session = Number(sessionStorage.getItem("streamv2v.session")) || 1;
  const { body: status } = await request("GET", "status");
  if (session > status.sessions.length) session = 1;
  $("model").textContent = status.model ? status.model.split("/").pop() : status.translator;
  $("model").hidden = false;
  $("record").hidden = !status.can_record;
  controls.build(status);
  controls.show((await request("GET", `settings?session=${session}`)).body);
}

/* Sources */

const OPENED = {
  camera,
  screen,
  file: () => file($("pick").files[0]),
  draw: () => ofDrawing(drawing.canvas.width, drawing.canvas.height, (context, canvas) => drawing.copyTo(context, canvas)),
};

async function take(kind) {
  const made = await attempt(OPENED[kind]);
  if (!made) return;
  source?.stop();
  source = made;
  source.ended(() => { if (source === made) stop(); });
  show(kind, made);
  const [track] = made.stream.getVideoTracks();
  await attempt(() => (connection.live ? connection.replace(track) : connection.start(track)));
}

function choose(kind) {
  if (kind === "file") $("pick").click();
  else take(kind);
}

function show(kind, made) {
  const draws = kind === "draw";
  preview.hidden = draws;
  drawing.canvas.hidden = $("tools").hidden = !draws;
  preview.srcObject = draws ? null : made.stream;
  if (!draws) preview.play().catch(() => {});
  if (draws) setView("side");
  $("welcome").hidden = true;
  stage.classList.remove("empty");
  $("stop").disabled = false;
  const { width, height } = made.stream.getVideoTracks()[0].getSettings();
  setShape(width, height);
  press(".sources [data-source]", (button) => button.dataset.source === kind);
}

function stop() {
  connection.stop();
  showNothing();
}

function showNothing() {
  source?.stop();
  source = preview.srcObject = result.srcObject = null;
  drawing.canvas.hidden = $("tools").hidden = true;
  $("welcome").hidden = false;
  stage.classList.add("empty");
  $("stop").disabled = true;
  press(".sources [data-source]", () => false);
  showFigures({});
}

function press(buttons, isPressed) {
  for (const button of document.querySelectorAll(buttons)) button.setAttribute("aria-pressed", String(isPressed(button)));
}

/* View */

function setView(view) {
  stage.dataset.view = view;
  press("button[data-view]", (button) => button.dataset.view === view);
}

function setShape(width, height) {
  if (width && height) stage.style.setProperty("--shape", width / height);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function snapshot() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [result.videoWidth, result.videoHeight];
  canvas.getContext("2d").drawImage(result, 0, 0);
  const time = new Date().toISOString().replace(/[-:]/g, "").slice(0, 15);
  canvas.toBlob((blob) => save(blob, `streamv2v-${time}.png`), "image/png");
}

/* What the server says */

const unit = (value, text) => (value === null || value === undefined ? "–" : text(value));

function showFigures(figures) {
  $("f-fps").textContent = unit(figures.fps, (value) => value.toFixed(1));
  $("f-p50").textContent = unit(figures.latency_p50_ms, (value) => `${Math.round(value)} ms`);
  $("f-p95").textContent = unit(figures.latency_p95_ms, (value) => `${Math.round(value)} ms`);
  $("f-dropped").textContent = unit(figures.frames_dropped, String);
  $("f-bank").textContent = unit(figures.bank_bytes, (bytes) => (bytes ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : "–"));
  $("f-size").textContent = unit(figures.model_size, ([width, height]) => `${width} × ${height}`);
  const records = Boolean(figures.recording);
  $("record").setAttribute("aria-pressed", String(records));
  $("record").lastElementChild.textContent = records ? `Stop (${figures.recorded_frames})` : "Record";
}

function addRecording({ file: name, frames, error }) {
  if (error) say(`The recording ended: ${error}`);
  if (error || !frames) return;
  const item = document.createElement("li"), link = document.createElement("a");
  Object.assign(link, { href: `recordings/${encodeURIComponent(name)}`, download: name });
  link.textContent = `${name} (${frames} frames)`;
  item.append(link);
  $("recordings").append(item);
  $("recordings").hidden = false;
}

const HEARD = {
  settings: ({ values }) => controls.show(values),
  figures: showFigures,
  recording: addRecording,
  error: ({ message }) => say(message),
};

connection.addEventListener("message", ({ detail }) => HEARD[detail.type]?.(detail));
connection.addEventListener("result", ({ detail }) => { result.srcObject = detail; });
connection.addEventListener("place", ({ detail }) => { $("place").textContent = `You are number ${detail} in the queue`; });
connection.addEventListener("state", ({ detail: state }) => {
  $("state").textContent = STATES[state];
  $("state").dataset.state = state;
  $("queue").hidden = state !== "waiting";
  $("snapshot").disabled = $("record").disabled = state !== "live";
  if (state === "live") attempt(load);
  if (state === "lost") showNothing();
});
result.addEventListener("resize", () => setShape(result.videoWidth, result.videoHeight));

/* What the user does */

for (const button of document.querySelectorAll("[data-source]")) {
  button.addEventListener("click", () => choose(button.dataset.source));
}
for (const button of document.querySelectorAll("button[data-view]")) {
  button.addEventListener("click", () => setView(button.dataset.view));
}
$("pick").addEventListener("change", async () => {
  if ($("pick").files.length) await take("file");
  $("pick").value = ""; // the same file can be chosen again
});
$("stop").addEventListener("click", stop);
$("give-up").addEventListener("click", stop);
$("snapshot").addEventListener("click", snapshot);
$("record").addEventListener("click", () =>
  connection.send({ type: "record", on: $("record").getAttribute("aria-pressed") !== "true" }));
$("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()));
$("reset").addEventListener("click", () => {
  if (connection.live) connection.send({ type: "reset" });
  else attempt(() => request("POST", `reset?session=${session}`, {}));
});
addEventListener("pagehide", () => connection.stop());

function pen(erases) {
  drawing.erases = erases;
  press("#pen, #eraser", (button) => (button.id === "eraser") === erases);
}

function setColour(colour) {
  drawing.colour = $("pen-colour").value = colour;
  pen(false);
  press("#swatches button", (swatch) => swatch.dataset.colour === colour);
}

$("swatches").replaceChildren(...COLOURS.map((colour) => {
  const swatch = document.createElement("button");
  Object.assign(swatch, { type: "button", title: colour });
  swatch.setAttribute("aria-label", `Colour ${colour}`);
  swatch.dataset.colour = colour;
  swatch.style.setProperty("--swatch", colour);
  swatch.addEventListener("click", () => setColour(colour));
  return swatch;
}));
$("pen").addEventListener("click", () => pen(false));
$("eraser").addEventListener("click", () => pen(true));
$("pen-size").addEventListener("input", () => { drawing.width = Number($("pen-size").value); });
$("pen-colour").addEventListener("input", () => setColour($("pen-colour").value));
$("undo").addEventListener("click", () => drawing.undo());
$("clear").addEventListener("click", () => drawing.clear());
$("load").addEventListener("click", () => $("pick-picture").click());
$("pick-picture").addEventListener("change", () => attempt(async () => {
  const [chosen] = $("pick-picture").files;
  $("pick-picture").value = "";
  if (chosen) drawing.load(await pictureAt(URL.createObjectURL(chosen)));
}));

makeDivider($("divider"), stage);
setView("slider");
setColour(COLOURS[0]);
stage.classList.add("empty");
attempt(load);
