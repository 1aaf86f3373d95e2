/* A canvas to draw on: every stroke is kept, so that it can be undone. */

const PAPER = "#ffffff", MOST_STEPS = 400;

export class Drawing {
  #steps = []; #stroke = null; #cursor = null; #context; #nib;

  /* `nib` shows where the pen of the keyboard is. */
  constructor(canvas, nib) {
    this.canvas = canvas;
    this.#nib = nib;
    this.#context = canvas.getContext("2d");
    this.width = 14;
    this.colour = "#1d3557";
    this.erases = false;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => this.#up());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => { this.#cursor = null; this.#up(); this.#showNib(); });
    this.#paint();
  }

  /* Paint it onto another context, without the cursor. */
  copyTo(context, target) {
    context.drawImage(this.canvas, 0, 0, target.width, target.height);
  }

  undo() {
    this.#steps.pop();
    this.#paint();
  }

  clear() {
    this.#add({ kind: "clear" });
  }

  load(image) {
    this.#add({ kind: "picture", image });
  }

  #add(step) {
    this.#steps.push(step);
    if (this.#steps.length > MOST_STEPS) this.#steps.shift();
    this.#paint();
  }

  #paint() {
    this.#wipe();
    for (const step of this.#steps) {
      if (step.kind === "clear") this.#wipe();
      else if (step.kind === "picture") this.#place(step.image);
      else this.#line(step);
    }
  }

  #wipe() {
    this.#context.fillStyle = PAPER;
    this.#context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /* As large as it can be without changing its shape. */
  #place(image) {
    const { width, height } = this.canvas;
    const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    this.#wipe();
    this.#context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  }

  #line({ colour, points }, from = 0) {
    const context = this.#context;
    Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineCap: "round", lineJoin: "round" });
    points.slice(from).forEach(([x, y, width], index) => {
      const before = points[from + index - 1] ?? [x, y];
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(before[0], before[1]);
      context.lineTo(x + 0.01, y);
      context.stroke();
    });
  }

  #down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#begin(...this.#pointOf(event));
  }

  #move(event) {
    if (!this.#stroke || !this.canvas.hasPointerCapture(event.pointerId)) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#extend(...this.#pointOf(one));
  }

  #up() {
    this.#stroke = null;
  }

  #begin(x, y, width) {
    this.#stroke = { kind: "stroke", colour: this.erases ? PAPER : this.colour, points: [[x, y, width]] };
    this.#steps.push(this.#stroke);
    if (this.#steps.length > MOST_STEPS) this.#steps.shift();
    this.#line(this.#stroke);
  }

  #extend(x, y, width) {
    this.#stroke.points.push([x, y, width]);
    this.#line(this.#stroke, this.#stroke.points.length - 1);
  }

  /* Place in the canvas, which may be shown smaller and with bars; a pen that is pressed harder is wider. */
  #pointOf(event) {
    const { box, scale, left, top } = this.#shown();
    const x = (event.clientX - box.left - left) / scale;
    const y = (event.clientY - box.top - top) / scale;
    const pressure = event.pointerType === "pen" && event.pressure ? 0.3 + event.pressure * 1.4 : 1;
    return [x, y, this.width * pressure];
  }

  /* Where the canvas is shown: its box, pixels of the page in one of its own, and the bars beside it. */
  #shown() {
    const { width, height } = this.canvas, box = this.canvas.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height);
    return { box, scale, left: (box.width - width * scale) / 2, top: (box.height - height * scale) / 2 };
  }

  #showNib() {
    this.#nib.hidden = !this.#cursor;
    if (!this.#cursor) return;
    const { scale, left, top } = this.#shown(), [x, y] = this.#cursor;
    this.#nib.style.left = `${left + x * scale}px`;
    this.#nib.style.top = `${top + y * scale}px`;
    this.#nib.classList.toggle("down", Boolean(this.#stroke));
  }

  #key(event) {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (event.key === " ") this.#lift();
    else if (!this.#step(event.key)) return;
    event.preventDefault();
    this.#showNib();
  }

  #lift() {
    this.#cursor ??= [this.canvas.width / 2, this.canvas.height / 2];
    if (this.#stroke) this.#up();
    else this.#begin(...this.#cursor, this.width);
  }

  #step(key) {
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    if (!right && !down) return false;
    const { width, height } = this.canvas, [x, y] = this.#cursor ?? [width / 2, height / 2], far = 12;
    this.#cursor = [clamp(x + right * far, width), clamp(y + down * far, height)];
    if (this.#stroke) this.#extend(...this.#cursor, this.width);
    return true;
  }
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));
