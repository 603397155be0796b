"use strict";
// Orders x before y by what their cells hold; what holds nothing goes last either way.
const compare = (x, y, numeric, up) => {
  if (x === "" || y === "") return (x === "") - (y === "");
  const sign = numeric ? Number(x) - Number(y) : x.localeCompare(y);
  return up ? sign : -sign;
};
const pressed = (table, cell, act) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...cell.childNodes);
  cell.append(button);
  button.addEventListener("click", () => {
    const up = cell.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    act(up);
  });
};
for (const table of document.querySelectorAll("table")) {
  const heads = table.tHead.rows[0], body = table.tBodies[0];
  for (const head of heads.querySelectorAll("[data-order]")) {
    pressed(table, head, (up) => {
      const key = (row) => row.cells[head.cellIndex].dataset.key ?? "";
      const numeric = head.dataset.order === "number";
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), numeric, up)));
    });
  }
  for (const name of body.querySelectorAll("[data-orders]")) {
    pressed(table, name, (up) => {
      const moving = [...heads.querySelectorAll("[data-moves]")].map((head) => head.cellIndex);
      const key = (at) => name.parentNode.cells[at].dataset.key ?? "";
      const sorted = [...moving].sort((a, b) => compare(key(a), key(b), true, up));
      for (const row of [heads, ...body.rows]) {
        const cells = [...row.cells], next = cells[moving.at(-1) + 1] ?? null;
        for (const at of sorted) row.insertBefore(cells[at], next);
      }
    });
  }
}

// Parts stay folded as they were left; a link into a folded part opens it; paper shows all.
const memory = `folded ${location.pathname}`;
const parts = [...document.querySelectorAll("section > details")];
const name = (part) => part.querySelector("h2").id;
const stored = () => {
  try { return JSON.parse(localStorage.getItem(memory)) ?? []; } catch { return []; }
};
for (const part of parts) part.open = !stored().includes(name(part));
const remember = () => {
  const folded = parts.filter((part) => !part.open).map(name);
  try { localStorage.setItem(memory, JSON.stringify(folded)); } catch { /* no storage here */ }
};
for (const part of parts) part.addEventListener("toggle", remember);
const named = () => {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; } // no such name
};
const unfold = () => {
  const target = document.getElementById(named());
  const part = target?.closest("section > details");
  if (part && !part.open) {
    part.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", unfold);
for (const link of document.querySelectorAll("a[href^='#']")) {
  link.addEventListener("click", () => setTimeout(unfold));
}
unfold();
let printed = [];
addEventListener("beforeprint", () => {
  printed = parts.filter((part) => !part.open);
  for (const part of printed) part.open = true;
});
addEventListener("afterprint", () => { for (const part of printed) part.open = false; });

const made = (tag, kind, words = "") => {
  const element = document.createElement(tag);
  if (tag === "button") element.type = "button";
  if (kind) element.className = kind;
  element.textContent = words;
  return element;
};

// Texts to copy: a button for each; where the clipboard is closed, the text is shown, selected.
for (const box of document.querySelectorAll(".copies")) {
  const row = made("div", "buttons"), state = made("output", "state");
  for (const area of box.querySelectorAll("textarea")) {
    const button = made("button", "", area.dataset.copies);
    area.parentNode.hidden = true;
    button.addEventListener("click", async () => {
      for (const label of box.querySelectorAll("label")) label.hidden = label !== area.parentNode;
      area.focus();
      area.select();
      let copied = false;
      try {
        await navigator.clipboard.writeText(area.value);
        copied = true;
      } catch { copied = document.execCommand("copy"); }
      state.textContent = copied ? "copied" : "selected: press Ctrl+C, or Cmd+C, to copy";
    });
    row.append(button);
  }
  row.append(state);
  box.querySelector("summary").after(row);
}

// Points of a chart tell their values to the pointer, and to the arrow keys on a focused chart.
for (const chart of document.querySelectorAll(".chart:has(.marks circle)")) {
  const marks = [...chart.querySelectorAll(".marks circle")], tip = made("output", "tip");
  const words = marks.map((mark) => mark.textContent);
  for (const mark of marks) mark.replaceChildren(); // the tip says it
  const svg = chart.querySelector("svg");
  chart.tabIndex = 0;
  chart.setAttribute("role", "group");
  chart.setAttribute("aria-label", `${svg.querySelector("desc, title")?.textContent
    ?? svg.getAttribute("aria-label")}: arrow keys tell the values`);
  chart.append(tip);
  let at = -1;
  const tell = (next) => {
    marks[at]?.classList.remove("on");
    at = next;
    tip.textContent = words[at] ?? "";
    if (at < 0) return;
    marks[at].classList.add("on");
    const place = marks[at].getBoundingClientRect(), frame = chart.getBoundingClientRect();
    const left = place.x + place.width / 2 - frame.x - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, frame.width - tip.offsetWidth))}px`;
    tip.style.top = `${place.y - frame.y - tip.offsetHeight - 6}px`;
  };
  chart.addEventListener("pointermove", (event) => {
    const far = (mark) => {
      const { x, y, width, height } = mark.getBoundingClientRect();
      return Math.hypot(event.clientX - x - width / 2, event.clientY - y - height / 2);
    };
    const gaps = marks.map(far), least = Math.min(...gaps);
    tell(least < 30 ? gaps.indexOf(least) : -1);
  });
  chart.addEventListener("pointerleave", () => tell(-1));
  chart.addEventListener("blur", () => tell(-1));
  chart.addEventListener("keydown", (event) => {
    const last = marks.length - 1;
    const next = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0,
      End: last, Escape: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tell(next);
  });
}

// A slider smooths curves over a share of the training; the logged line stays below.
const SHARES = [0, 0.01, 0.02, 0.05, 0.1, 0.2];
const points = (path) => path.getAttribute("d").split("M").slice(1).map((piece) => {
  const found = piece.trim().split(/[\sL]+/).map(Number), [x, y] = found.slice(-2);
  return found.at(-4) === x && found.at(-3) === y ? found.slice(0, -2) : found; // drawn twice
});
const smoothed = (path, share) => points(path).map((piece) => {
  const count = piece.length / 2, half = Math.floor(count * share / 2);
  const sums = [0];
  for (let at = 0; at < count; at++) sums.push(sums[at] + piece[2 * at + 1]);
  return "M " + Array.from({ length: count }, (_, at) => {
    const low = Math.max(at - half, 0), high = Math.min(at + half + 1, count);
    return `${piece[2 * at]} ${((sums[high] - sums[low]) / (high - low)).toFixed(3)}`;
  }).join(" L ");
}).join(" ");
for (const note of document.querySelectorAll(".smoothing")) {
  const label = made("label", "slider", "Smoothing "), slider = made("input", "");
  const state = made("output", "", "5 %");
  Object.assign(slider, { type: "range", min: 0, max: SHARES.length - 1, value: 3 });
  slider.setAttribute("aria-valuetext", "5 %");
  label.append(slider, " ", state);
  note.after(label);
  slider.addEventListener("input", () => {
    const share = SHARES[slider.value];
    state.textContent = share ? `${share * 100} %` : "none";
    slider.setAttribute("aria-valuetext", state.textContent);
    for (const raw of note.parentNode.querySelectorAll(".raw path")) {
      const smooth = raw.parentNode.parentNode.querySelectorAll(".smooth path");
      const at = [...raw.parentNode.parentNode.querySelectorAll(".raw path")].indexOf(raw);
      smooth[at].setAttribute("d", smoothed(raw, share));
    }
  });
}

// An image is enlarged by a press; arrow keys go on to its neighbours.
const viewer = made("dialog", "viewer"), large = made("img", "large"), about = made("p", "");
const zooms = [...document.querySelectorAll("img[data-zoom]")];
let shown = null;
const group = (image) => image.closest("table, .gallery, .sheets") ?? document.body;
const neighbour = (side, up) => {
  const within = zooms.filter((image) => group(image) === group(shown));
  if (!up) return within[within.indexOf(shown) + side];
  const cell = shown.closest("td"), row = cell?.parentNode;
  const next = side > 0 ? row?.nextElementSibling : row?.previousElementSibling;
  const order = cell && [...cell.querySelectorAll("img")].indexOf(shown);
  return next?.cells[cell.cellIndex]?.querySelectorAll("img")[order];
};
const enlarge = (image) => {
  if (!image) return;
  shown = image;
  large.src = image.src;
  large.alt = image.alt;
  large.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  large.classList.toggle("pixels", image.naturalWidth <= 128);
  about.textContent = image.alt;
};
if (zooms.length) {
  const row = made("div", "buttons");
  const press = (words, act) => {
    const button = made("button", "", words);
    button.addEventListener("click", act);
    row.append(button);
  };
  press("previous", () => enlarge(neighbour(-1)));
  press("next", () => enlarge(neighbour(1)));
  press("close", () => viewer.close());
  about.setAttribute("aria-live", "polite");
  viewer.setAttribute("aria-label", "Enlarged image");
  viewer.append(large, about, row);
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1], ArrowLeft: [-1], ArrowDown: [1, true], ArrowUp: [-1, true] };
    if (!step[event.key]) return;
    event.preventDefault();
    enlarge(neighbour(...step[event.key]));
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => shown.parentNode.focus());
  for (const image of zooms) {
    const button = made("button", "zoom");
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      document.body.append(viewer);
      enlarge(image);
      viewer.showModal();
    });
  }
}
