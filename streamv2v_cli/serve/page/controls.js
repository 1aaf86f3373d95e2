/* The settings: what is in force is shown, what the user changes is sent. */

const SLIDERS = [
  ["transition", "Transition", 0.1, (value) => (value ? `${value.toFixed(1)} s` : "at once"), [0, 5]],
  ["strength", "Strength", 0.01, (value) => value.toFixed(2)],
  ["mix", "Mix", 0.01, (value) => `${Math.round(value * 100)} %`],
  ["steady", "Steady", 0.05, (value) => value.toFixed(2)],
];
const WEIGHTS = [["loras", "loras", [-1, 2]], ["style", "style_images", [0, 3]]];
const SIZES = [128, 192, 256, 320, 384, 448, 512, 640, 768];
const DELAY = 120;
const $ = (id) => document.getElementById(id);

export class Controls {
  #send; #waiting = {}; #timer = 0; #rows = {}; #weights = {}; #defaults = {};

  /* `send` is given the changed settings. */
  constructor(send) {
    this.#send = send;
    for (const id of ["prompt", "negative_prompt"]) this.#listenToText($(id));
    $("upscale").addEventListener("change", () => this.#change("upscale", $("upscale").value));
    $("size").addEventListener("change", () => this.#change("size", sizeOf($("size").value)));
    $("seed").addEventListener("change", () => this.#change("seed", Number($("seed").value)));
    $("dice").addEventListener("click", () => this.#change("seed", Math.floor(Math.random() * 100000)));
    $("defaults").addEventListener("click", () => this.#send(this.#defaults));
    $("controls").addEventListener("submit", (event) => event.preventDefault());
  }

  /* Make the controls for what the server offers. */
  build(status) {
    this.#defaults = status.defaults;
    this.#rows = {};
    $("sliders").replaceChildren(...SLIDERS.map(([name, label, step, text, range]) =>
      this.#slider(name, label, range ?? status.controls[name].range, step, text, (value) => this.#change(name, value))));
    $("styles").replaceChildren(...status.styles.map((style) => this.#chip(style)));
    $("styles").hidden = !status.styles.length;
    $("negative-hint").hidden = status.negative_prompt_used;
    for (const [name, list, range] of WEIGHTS) {
      this.#weights[name] = status[list].map(() => 1);
      $(name).hidden = !status[list].length;
      const [title] = $(name).children;
      $(name).replaceChildren(title, ...status[list].map((label, index) =>
        this.#slider(`${name} ${index}`, label, range, 0.05, (value) => value.toFixed(2), (value) => {
          this.#weights[name][index] = value;
          this.#change(name, [...this.#weights[name]]);
        })));
    }
  }

  /* Show what is in force; what the user is just changing stays. */
  show(values) {
    for (const id of ["prompt", "negative_prompt"]) {
      if (!(id in this.#waiting) && document.activeElement !== $(id)) $(id).value = values[id];
    }
    if (values.negative_prompt) $("negative").open = true;
    for (const [name] of SLIDERS) if (!(name in this.#waiting)) this.#rows[name](values[name]);
    for (const [name] of WEIGHTS) {
      this.#weights[name] = [...values[name]];
      if (!(name in this.#waiting)) values[name].forEach((weight, index) => this.#rows[`${name} ${index}`](weight));
    }
    this.#showSizes(values.size);
    // A network that was named at the start is a choice as well.
    if (![...$("upscale").options].some((option) => option.value === values.upscale)) {
      $("upscale").add(new Option(values.upscale, values.upscale));
    }
    $("upscale").value = values.upscale;
    if (document.activeElement !== $("seed")) $("seed").value = values.seed;
    for (const chip of $("styles").children) {
      chip.setAttribute("aria-pressed", String(chip.textContent === values.prompt.trim()));
    }
  }

  #change(name, value) {
    this.#waiting[name] = value;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), DELAY);
  }

  #flush() {
    clearTimeout(this.#timer);
    const changed = this.#waiting;
    this.#waiting = {};
    this.#send(changed);
  }

  /* A text is taken over by Enter, when the field is left, or after a pause. */
  #listenToText(field) {
    let pause = 0;
    const take = () => { clearTimeout(pause); this.#change(field.id, field.value.trim()); };
    field.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(take, 900); });
    field.addEventListener("change", take);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      take();
    });
  }

  #chip(style) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: style });
    button.addEventListener("click", () => {
      $("prompt").value = style;
      this.#change("prompt", style);
      this.#flush();
    });
    return button;
  }

  #slider(name, label, [min, max], step, text, change) {
    const row = $("slider-row").content.firstElementChild.cloneNode(true);
    const [title, output, input] = row.children;
    input.id = `slider-${name.replace(" ", "-")}`;
    title.htmlFor = input.id;
    title.textContent = label;
    Object.assign(input, { min, max, step });
    const show = (value) => {
      // What was set elsewhere may lie beyond the useful range.
      input.min = Math.min(min, value);
      input.max = Math.max(max, value);
      input.value = value;
      output.textContent = text(value);
    };
    input.addEventListener("input", () => {
      output.textContent = text(Number(input.value));
      change(Number(input.value));
    });
    this.#rows[name] = show;
    return row;
  }

  #showSizes(size) {
    const sizes = SIZES.includes(size) ? SIZES : [...SIZES, size].sort((a, b) => a - b);
    $("size").replaceChildren(...sizes.map((one) => new Option(typeof one === "number" ? `${one} px` : one, one)));
    $("size").value = size;
  }
}

const sizeOf = (text) => (/^\d+$/.test(text) ? Number(text) : text);
