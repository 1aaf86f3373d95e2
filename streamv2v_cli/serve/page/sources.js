/* Where frames come from: each function gives { stream, stop, ended }. */

const LONGEST_SIDE = 960, RATE = 25;

export async function camera() {
  if (!navigator.mediaDevices?.getUserMedia) throw missing("camera");
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  return ofDevice(await navigator.mediaDevices.getUserMedia({ video, audio: false }), "motion");
}

export async function screen() {
  if (!navigator.mediaDevices?.getDisplayMedia) throw missing("screen");
  const video = { width: { max: LONGEST_SIDE }, height: { max: LONGEST_SIDE }, frameRate: { ideal: 15 } };
  return ofDevice(await navigator.mediaDevices.getDisplayMedia({ video, audio: false }), "detail");
}

function missing(device) {
  const reason = isSecureContext ? "" : " Browsers allow it only on this machine itself or over https.";
  return new Error(`The ${device} is not available in this browser.${reason}`);
}

function ofDevice(stream, hint) {
  const [track] = stream.getVideoTracks();
  track.contentHint = hint;
  return { stream, stop: () => track.stop(), ended: (act) => track.addEventListener("ended", act) };
}

/* A video or a picture of the user's; it is drawn onto a canvas, which every browser can send. */
export async function file(chosen) {
  const address = URL.createObjectURL(chosen);
  const picture = chosen.type.startsWith("image/") ? await pictureAt(address) : await videoAt(address);
  const width = picture.videoWidth ?? picture.naturalWidth, height = picture.videoHeight ?? picture.naturalHeight;
  const drawn = ofDrawing(width, height, (context, canvas) => context.drawImage(picture, 0, 0, canvas.width, canvas.height));
  return {
    ...drawn,
    stop: () => {
      drawn.stop();
      picture.pause?.();
      picture.removeAttribute("src");
      URL.revokeObjectURL(address);
    },
  };
}

/* What `draw` paints, again and again: a canvas that stays the same sends nothing. */
export function ofDrawing(width, height, draw) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = even(width * scale);
  canvas.height = even(height * scale);
  const context = canvas.getContext("2d", { alpha: false });
  const paint = () => draw(context, canvas);
  paint();
  const timer = setInterval(paint, 1000 / RATE);
  const stream = canvas.captureStream(RATE);
  const [track] = stream.getVideoTracks();
  track.contentHint = "detail";
  return { stream, stop: () => { clearInterval(timer); track.stop(); }, ended: () => {} };
}

async function videoAt(address) {
  const video = document.createElement("video");
  Object.assign(video, { src: address, muted: true, loop: true, playsInline: true });
  await new Promise((resolve, reject) => {
    video.addEventListener("loadeddata", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("This browser cannot play the file.")), { once: true });
  });
  await video.play();
  return video;
}

export async function pictureAt(address) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    throw new Error("This browser cannot show the picture.");
  }
  return image;
}

const even = (side) => Math.max(2, Math.round(side / 2) * 2);
