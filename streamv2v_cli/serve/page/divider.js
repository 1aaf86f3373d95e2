/* The border between source and result: dragged, or moved by the keyboard. */

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

export function makeDivider(divider, stage) {
  let share = 50;

  function set(value) {
    share = Math.min(100, Math.max(0, value));
    stage.style.setProperty("--split", `${share}%`);
    divider.setAttribute("aria-valuenow", Math.round(share));
  }

  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    set(((event.clientX - box.left) / box.width) * 100);
  });
  divider.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    set(share + STEPS[event.key]);
  });
  set(share);
}
